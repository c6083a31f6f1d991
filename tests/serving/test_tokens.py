from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqvae.data.text import BOS, EOS, PAD, Tokenizer
from seqvae.errors import UserError
from seqvae.serving import tokens
from seqvae.serving.tokens import GraphTexts, LibraryTexts

LIMIT = 12
TEXTS = st.text(max_size=30) | st.lists(st.sampled_from(["the", "cat", " ", "日", "😀"])).map(
    "".join
)
NASTY = [
    "",
    " ",
    "\t\n",
    "<s> </s>",
    "a  b",
    "\u2581",
    "ﷺ",
    "\ud800 half",
    "é\u0301",
    "the cat " * 9,
]


class TokenizerGraphs:
    """`tokenizer` and `detokenizer` as a bundle has them: cropping, start and end tokens added."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.sizes: list[int] = []

    def __contains__(self, part: object) -> bool:
        return True

    def inputs(self, part: str) -> frozenset[str]:
        raise AssertionError(part)

    def outputs(self, part: str) -> tuple[str, ...]:
        raise AssertionError(part)

    def run(
        self, part: str, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> dict[str, Any]:
        if part == "detokenizer":
            rows = feeds["ids"].tolist()
            return {"text": np.array([self.tokenizer.decode(row) for row in rows], object)}
        texts = feeds["text"].tolist()
        self.sizes.append(len(texts))
        values, lengths = tokens.batch([self.tokenizer.encode(text)[:LIMIT] for text in texts])
        return {"ids": values, "lengths": lengths}


@pytest.fixture(scope="module")
def both(tokenizer: Tokenizer) -> list[GraphTexts | LibraryTexts]:
    return [
        GraphTexts(TokenizerGraphs(tokenizer), LIMIT),
        LibraryTexts(tokenizer.model, LIMIT),
    ]


@given(text=TEXTS)
@example("the cat sat on the mat the dog")
@example("日" * 4)
@example("日" * 5)
@example("a" * LIMIT)
@example("ﷺ")
def test_texts_that_do_not_fit_are_found(
    tokenizer: Tokenizer, both: list[GraphTexts | LibraryTexts], text: str
) -> None:
    whole = tokenizer.encode(text)
    for texts in both:
        (ids,) = texts.encode([text])
        assert ids == whole[:LIMIT]
        assert texts.too_long(text, ids) == (len(whole) > LIMIT)
    if tokens.surely_fits(text, LIMIT):
        assert len(whole) <= LIMIT


@pytest.mark.parametrize("text", NASTY)
def test_texts_go_and_come_as_by_the_tokenizer(
    tokenizer: Tokenizer, both: list[GraphTexts | LibraryTexts], text: str
) -> None:
    for texts in both:
        (ids,) = texts.encode([text])
        assert ids == tokenizer.encode(text)[:LIMIT]
        assert texts.decode([ids]) == [tokenizer.decode(ids)]
        if len(tokenizer.encode(text)) <= LIMIT:
            assert texts.normalise([text]) == [tokenizer.normalise(text)]


def test_many_texts_are_read_in_parts(tokenizer: Tokenizer) -> None:
    graphs = TokenizerGraphs(tokenizer)
    texts = GraphTexts(graphs, LIMIT)
    many = [f"the cat {i}" for i in range(600)]
    rows = texts.encode(many)
    assert max(graphs.sizes) <= 256 and len(rows) == 600
    assert texts.decode(rows) == [tokenizer.normalise(text) for text in many]


def test_batches() -> None:
    values, lengths = tokens.batch([[7, 8], [], [9]], [True, True, False])
    assert values.tolist() == [[BOS, 7, 8, EOS], [BOS, EOS, PAD, PAD], [BOS, 9, PAD, PAD]]
    assert lengths.tolist() == [4, 2, 2] and values.dtype == lengths.dtype == np.int64
    assert tokens.padded([]).shape == (0, 1) and tokens.padded([[], []]).tolist() == [[0], [0]]
    assert tokens.strings([]).shape == (0,) and tokens.strings(["a\ud800"]).tolist() == ["a?"]


def test_a_tokenizer_that_is_none() -> None:
    with pytest.raises(UserError, match="not a sentencepiece model"):
        LibraryTexts(b"nonsense", LIMIT)
