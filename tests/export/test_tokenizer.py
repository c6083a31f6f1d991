"""Texts read and written by graphs are those of the tokenizer in Python."""

import functools

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seqvae.data.normalise import Normalisation, Normaliser
from seqvae.data.text import BLANK, BOS, EOS, PAD, UNK, ModelType, Tokenizer, train_tokenizer
from seqvae.errors import UserError
from seqvae.export.tokenizer import Tier, export_tokenizer
from tests.export.exported import LINES, Session

MAX_LENGTH = 64
NASTY = (
    "",
    " ",
    "  two  spaces  ",
    "a\tb\nc\r\nd",
    "日本語 と 日本",
    "so happy 😀👍🏽 !",
    "<s> </s> <pad> <unk> <blank> <0x41>",
    "ﬁne \uff21 ½ … ㍿",
    "\u2581under\u2581\u2581score",
    "zero\u200bwidth \ufeff \u00a0 \u3000x",
    "\x01 control \x7f \x1b[0m",
    "été",
    "QUICK Brown",
    "?? ÿÿ ØØ ?",
    "x" * 10_000,
    # One segmentation only: of several that are equally probable, two builds may choose two.
    "日 ? " * 3000,
)
# A NUL ends a text in the graph; surrogates are no text.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
    | st.sampled_from("abehotuwx .,\t\u2581日é\uff21ﬁ½"),
    max_size=30,
)


@functools.cache
def tokenizer(
    kind: ModelType, byte_fallback: bool, form: Normalisation = "nfkc", lowercase: bool = False
) -> Tokenizer:
    size = 400 if byte_fallback else 70
    return Tokenizer(
        train_tokenizer(
            list(LINES) * 5,
            vocab_size=size,
            model_type=kind,
            byte_fallback=byte_fallback,
            character_coverage=1.0,
            normaliser=Normaliser(form, lowercase),
        )
    )


class Graphs:
    """Both graphs of a tier."""

    def __init__(
        self, of: Tokenizer, tier: Tier, opset: int = 20, max_length: int = MAX_LENGTH
    ) -> None:
        made = export_tokenizer(of, tier, max_length=max_length, opset=opset)
        for model in made.values():
            if tier == "char":  # onnx does not know the other operators
                onnx.checker.check_model(model, full_check=True)
        sessions = [Session(model, extensions=tier == "sentencepiece") for model in made.values()]
        self.read, self.write = sessions
        self.tokenizer, self.max_length = of, max_length

    def check_reading(self, texts: list[str]) -> None:
        found = self.read(text=texts)
        ids, lengths = found["ids"], found["lengths"]
        rows = [[BOS, *self.tokenizer.encode(text)[: self.max_length - 2], EOS] for text in texts]
        assert ids.dtype == lengths.dtype == np.int64
        assert ids.shape == (len(texts), max([2, *map(len, rows)]))
        for text, row, length, wanted in zip(texts, ids, lengths, rows, strict=True):
            assert row[:length].tolist() == wanted, text[:40]
            assert not row[length:].any()

    def check_writing(self, rows: list[list[int]]) -> None:
        width = max(map(len, rows), default=0)
        ids = np.array([[*row, *[PAD] * (width - len(row))] for row in rows], np.int64)
        texts = self.write(ids=ids.reshape(len(rows), width))["text"].tolist()
        assert texts == [self.tokenizer.decode(row) for row in rows]


@functools.cache
def sentencepiece(kind: ModelType, byte_fallback: bool) -> Graphs:
    return Graphs(tokenizer(kind, byte_fallback), "sentencepiece")


@functools.cache
def characters(form: Normalisation = "nfkc", lowercase: bool = False) -> Graphs:
    return Graphs(tokenizer("char", False, form, lowercase), "char")


KINDS = [(kind, fallback) for kind in ("unigram", "bpe", "char") for fallback in (True, False)]


@pytest.mark.parametrize(("kind", "byte_fallback"), KINDS)
def test_sentencepiece_inside_is_sentencepiece_outside(
    kind: ModelType, byte_fallback: bool
) -> None:
    graphs = sentencepiece(kind, byte_fallback)
    graphs.check_reading(list(NASTY))
    for text in NASTY:
        graphs.check_reading([text])
    size = graphs.tokenizer.vocab_size
    random = np.random.default_rng(0)
    written = [random.integers(5, size, length).tolist() for length in range(40)]
    written = [[i for i in row if graphs.tokenizer.pieces([i]) != ["<0x00>"]] for row in written]
    space = graphs.tokenizer.pieces(range(size)).index("\u2581")
    graphs.check_writing(
        [
            *written,
            [space, space, 9],
            [UNK, space, UNK],
            [BOS, 9, BLANK, 10, PAD, 11, EOS, 12],
            [EOS, 9],
        ]
    )


@given(st.lists(TEXTS, max_size=4))
def test_any_texts(texts: list[str]) -> None:
    for kind in KINDS[:2]:
        graphs = sentencepiece(*kind)
        graphs.check_reading(texts)
        graphs.check_writing([graphs.tokenizer.encode(text) for text in texts])


@pytest.mark.parametrize("tier", ["sentencepiece", "char"])
def test_no_texts(tier: Tier) -> None:
    graphs = sentencepiece("char", False) if tier == "sentencepiece" else characters()
    graphs.check_reading([])
    graphs.check_reading([""])
    graphs.check_reading(["", ""])
    graphs.check_writing([])
    graphs.check_writing([[], []])
    assert graphs.read(text=[])["ids"].shape == (0, 2)


@pytest.mark.parametrize("tier", ["sentencepiece", "char"])
@pytest.mark.parametrize("opset", [20, 21, 23])
def test_opsets(opset: int, tier: Tier) -> None:
    graphs = Graphs(tokenizer("char", False), tier, opset, max_length=7)
    graphs.check_reading(["the quick brown fox", "", "a b"])
    graphs.check_writing([graphs.tokenizer.encode("the fox"), []])


def test_the_oldest_opset_has_sentencepiece_only() -> None:
    graphs = Graphs(tokenizer("unigram", True), "sentencepiece", 18)
    graphs.check_reading(["the quick brown fox", ""])
    with pytest.raises(UserError, match="char needs opset 20 or later, not 18"):
        export_tokenizer(tokenizer("char", False), "char", max_length=9, opset=18)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("form", ["nfkc", "nfc", "none"])
def test_characters_are_read_and_written_as_by_sentencepiece(
    form: Normalisation, lowercase: bool
) -> None:
    graphs = characters(form, lowercase)
    graphs.check_reading(list(NASTY[:7]) + list(NASTY[8:]))
    for text in NASTY:
        if "㍿" not in text:
            graphs.check_reading([text])
    size = graphs.tokenizer.vocab_size
    random = np.random.default_rng(0)
    space = graphs.tokenizer.pieces(range(size)).index("\u2581")
    written = [random.integers(1, size, length).tolist() for length in range(30)]
    written += [[space] * k + row for k in (1, 2) for row in written[:9]]
    graphs.check_writing([*written, [UNK, space, UNK], [9, UNK, UNK], [BOS, 9, BLANK, 10, EOS, 12]])


@pytest.mark.parametrize("form", ["nfkc", "nfc", "none"])
@given(TEXTS)
def test_any_characters(form: Normalisation, text: str) -> None:
    graphs = characters(form)
    # The limits that are documented: what is normalised together, and very long normal forms.
    normal = [graphs.tokenizer.normalise(f"!{char}!")[1:-1] for char in text]
    assume(all(len(one) <= 4 for one in normal))
    together = graphs.tokenizer.normalise(f"!{text}!")
    apart = graphs.tokenizer.normalise("!" + "".join(normal) + "!")
    assume(together == apart)
    graphs.check_reading([text, "a b"])
    graphs.check_writing([graphs.tokenizer.encode(text)])


def test_what_characters_cannot_do_is_unknown() -> None:
    graphs = characters()
    (ids,) = graphs.read(text=["e\u0301 ㍿"])["ids"]
    pieces = graphs.tokenizer.pieces(ids.tolist())
    assert pieces == ["<s>", "\u2581", "e", "<unk>", "\u2581", "<unk>", "</s>"]
    graphs = Graphs(tokenizer("char", True), "char")
    (ids,) = graphs.read(text=["aØØb"])["ids"]  # bytes in Python
    assert graphs.tokenizer.pieces(ids.tolist()) == ["<s>", "\u2581", "a", "<unk>", "b", "</s>"]
    names = graphs.tokenizer.pieces(range(graphs.tokenizer.vocab_size))
    byte_ids = [[names.index(f"<0x{byte:02X}>") for byte in "AØ".encode()]]
    assert graphs.write(ids=np.array(byte_ids))["text"].tolist() == ["A\ufffd\ufffd"]


def test_characters_need_a_character_model() -> None:
    with pytest.raises(UserError, match=r"needs a character model, and .* several characters"):
        export_tokenizer(tokenizer("bpe", False), "char", max_length=9)


def test_ids_need_nothing() -> None:
    assert export_tokenizer(tokenizer("bpe", False), "ids", max_length=9) == {}
