"""The tokenizer keeps text whole and its special ids where everything expects them."""

import io
from typing import Any

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.adapt import rearrange
from seqvae.data.normalise import Normaliser
from seqvae.data.synthetic import sentences
from seqvae.data.text import (
    BLANK,
    BOS,
    EOS,
    PAD,
    SPECIAL,
    UNK,
    ModelType,
    Tokenizer,
    train_tokenizer,
)
from seqvae.errors import UserError

LINES = [text for text, _, _ in sentences(200)]
BYTE_LEVEL = Tokenizer(train_tokenizer(LINES, vocab_size=400, model_type="bpe"))
EXACT = Tokenizer(
    train_tokenizer(LINES, vocab_size=400, model_type="bpe", normaliser=Normaliser("none"))
)


@given(st.text())
def test_byte_fallback_keeps_any_text(text: str) -> None:
    ids = BYTE_LEVEL.encode(text)
    assert BYTE_LEVEL.decode(ids) == BYTE_LEVEL.normalise(text)
    assert not set(ids) & {PAD, UNK, BOS, EOS, BLANK}
    assert all(0 <= i < BYTE_LEVEL.vocab_size for i in ids)


@given(st.text(st.characters(exclude_characters="\u2581", exclude_categories=["Cs"])))
def test_without_normalisation_nothing_changes(text: str) -> None:
    assert EXACT.decode(EXACT.encode(text)) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_batches_encode_like_single_texts(texts: list[str]) -> None:
    expected = [BYTE_LEVEL.encode(text) for text in texts]
    for threads in (1, 2):
        assert BYTE_LEVEL.encode_batch([t.encode() for t in texts], threads) == expected


def test_special_ids() -> None:
    assert tuple(BYTE_LEVEL.pieces(range(5))) == SPECIAL
    ids = BYTE_LEVEL.encode("the cook")
    assert BYTE_LEVEL.decode([BOS, *ids, BLANK, PAD, EOS, *ids]) == "the cook"
    assert BLANK not in BYTE_LEVEL.encode("<blank> <s> </s> <pad> <unk>")


def test_unpaired_surrogates_do_not_break_encoding() -> None:
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode("a\ud800b")) == "a?b"


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char"])
def test_training_repeats_and_shrinks_to_the_corpus(model_type: ModelType) -> None:
    models = [
        train_tokenizer(iter(LINES[:20]), vocab_size=5000, model_type=model_type) for _ in range(2)
    ]
    assert models[0] == models[1]
    assert 256 + 5 < Tokenizer(models[0]).vocab_size < 5000


def test_without_byte_fallback_rare_characters_are_unknown() -> None:
    model = train_tokenizer(LINES, vocab_size=100, model_type="bpe", byte_fallback=False)
    assert UNK in Tokenizer(model).encode("☃")


def test_too_small_a_vocabulary_says_how_many_are_needed() -> None:
    with pytest.raises(UserError, match=r"vocab_size 50 is too small.* 2\d\d"):
        train_tokenizer(LINES, vocab_size=50)


@pytest.mark.parametrize("model", [b"", b"not a model", b"\x00" * 100])
def test_a_broken_model_is_refused(model: bytes) -> None:
    with pytest.raises(UserError, match="tokenizer"):
        Tokenizer(model)
    with pytest.raises(UserError, match="not a sentencepiece model"):
        rearrange(model, "x.model")


@pytest.mark.parametrize("options", [{}, {"pad_id": 0, "unk_id": 2, "bos_id": -1, "eos_id": 1}])
def test_a_foreign_model_is_rearranged(options: dict[str, Any]) -> None:
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(LINES),
        model_writer=stream,
        vocab_size=150,
        control_symbols=["<mask>"],
        minloglevel=2,
        **options,
    )
    with pytest.raises(UserError, match="--tokenizer"):
        Tokenizer(stream.getvalue())
    ours = Tokenizer(rearrange(stream.getvalue(), "x.model"))
    theirs = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())
    for line in LINES[:50]:
        assert ours.pieces(ours.encode(line)) == theirs.encode(line, out_type=str)
        assert ours.decode(ours.encode(line)) == line
    assert rearrange(ours.model, "y.model") == ours.model
