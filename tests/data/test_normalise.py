"""Normalisation: the short cut is exact, the result is a fixed point, NFC is NFC."""

import unicodedata

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.normalise import Normalisation, Normaliser

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NFKC, NFC = Normaliser("nfkc"), Normaliser("nfc")
PLAIN = sentencepiece.SentencePieceNormalizer(
    rule_name="nmt_nfkc",
    add_dummy_prefix=False,
    escape_whitespaces=False,
    remove_extra_whitespaces=True,
)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_cut_for_plain_lines_changes_nothing(text: str) -> None:
    assert NFKC(text) == PLAIN.Normalize(text)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("form", ["nfkc", "nfc", "none"])
def test_normalised_text_stays(form: Normalisation, lowercase: bool) -> None:
    normalise = Normaliser(form, lowercase)

    @given(TEXT)
    def law(text: str) -> None:
        once = normalise(text)
        assert normalise(once) == once

    law()


@given(st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Mn", "Zs", "Zl"])))
def test_nfc_without_stray_marks_is_unicodes(text: str) -> None:
    text = text.replace("\u2581", "")
    assert NFC(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("word", ["Ế", "한글", "café", "Å", "ṩ"])
def test_nfc_composes_every_spelling(word: str) -> None:
    assert NFC(unicodedata.normalize("NFD", word)) == unicodedata.normalize("NFC", word)


def test_what_each_form_does() -> None:
    assert NFKC("  \ufb01\t\uff46\uff55 \u200b") == "fi fu"
    assert NFC(" ﬁ  x ") == "ﬁ x"
    assert Normaliser("none")("  a  ") == "  a  "
    assert Normaliser("nfkc", lowercase=True)("Ab ÉCOLE") == "ab école"
    assert Normaliser("none", lowercase=True)(" Ab") == " ab"
