"""Text to token ids and back, through the graphs of a bundle or, without such, its sentencepiece model."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from seqvae.data.text import BOS, EOS, PAD, Tokenizer
from seqvae.errors import UserError
from seqvae.serving.session import Graphs

Ids = list[int]
Array = np.ndarray[Any, np.dtype[Any]]
# Texts that one call of a graph reads or writes.
_TEXTS = 256


class Texts(Protocol):
    """Reads and writes token ids, start and end tokens left out."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of each text, of its beginning where it is too long."""

    def decode(self, rows: Sequence[Ids]) -> list[str]:
        """The text of each row of ids."""

    def normalise(self, texts: Sequence[str]) -> list[str]:
        """Each text as the model sees it, its beginning where it is too long."""

    def too_long(self, text: str, ids: Ids) -> bool:
        """Whether `ids`, the answer of `encode`, are only the beginning of the text."""


class LibraryTexts:
    """`Texts` by the sentencepiece package: for bundles without a tokenizer in their graphs.

    Args:
        model: a serialised sentencepiece model.
        limit: most pieces of a text.

    Raises:
        UserError: the package is missing, or the model is not ours.
    """

    def __init__(self, model: bytes, limit: int) -> None:
        try:
            self._tokenizer = Tokenizer(model)
        except ImportError as error:
            raise UserError(
                f"this bundle has no tokenizer in its graphs and needs sentencepiece ({error}); "
                "pip install sentencepiece"
            ) from error
        self._limit = limit

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """See `Texts.encode`."""
        return [self._tokenizer.encode(text)[: self._limit] for text in texts]

    def decode(self, rows: Sequence[Ids]) -> list[str]:
        """See `Texts.decode`."""
        return [self._tokenizer.decode(row) for row in rows]

    def normalise(self, texts: Sequence[str]) -> list[str]:
        """See `Texts.normalise`."""
        return [self._tokenizer.normalise(text) for text in texts]

    def too_long(self, text: str, ids: Ids) -> bool:
        """See `Texts.too_long`."""
        return len(ids) == self._limit and len(self._tokenizer.encode(text)) > self._limit


class GraphTexts:
    """`Texts` by the graphs `tokenizer` and `detokenizer`.

    Args:
        graphs: hold both.
        limit: most pieces of a text; the graph reads no more.
    """

    def __init__(self, graphs: Graphs, limit: int) -> None:
        self._graphs, self._limit = graphs, limit

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """See `Texts.encode`."""
        found: list[Ids] = []
        for begin in range(0, len(texts), _TEXTS):
            part = texts[begin : begin + _TEXTS]
            out = self._graphs.run("tokenizer", {"text": strings(part)}, ["ids", "lengths"])
            lengths = out["lengths"].tolist()
            # The graph adds the start and the end token.
            found += [row[1 : n - 1] for row, n in zip(out["ids"].tolist(), lengths, strict=True)]
        return found

    def decode(self, rows: Sequence[Ids]) -> list[str]:
        """See `Texts.decode`."""
        texts: list[str] = []
        for begin in range(0, len(rows), _TEXTS):
            part = rows[begin : begin + _TEXTS]
            out = self._graphs.run("detokenizer", {"ids": padded(part)}, ["text"])
            texts += [str(text) for text in out["text"].tolist()]
        return texts

    def normalise(self, texts: Sequence[str]) -> list[str]:
        """See `Texts.normalise`: what was split and joined again."""
        return self.decode(self.encode(texts))

    def too_long(self, text: str, ids: Ids) -> bool:
        """See `Texts.too_long`.

        The graph crops and does not say so. What it dropped shows when the text is read in short
        parts, which are normalised as the whole is: do they say more than was read?
        """
        if len(ids) < self._limit:
            return False
        read = self.encode(list(_parts(text, max(1, self._limit // 8))))
        if any(len(row) == self._limit for row in read):
            return True
        *parts, found = self.decode([*read, ids])
        return _letters("".join(parts)) != _letters(found)


def surely_fits(text: str, limit: int) -> bool:
    """Whether a text has at most `limit` pieces whatever the tokenizer; False: it has to be read.

    No piece is shorter than a byte of the normalised text, and one stands for its beginning.
    """
    if len(text) >= limit:
        return False
    return len(unicodedata.normalize("NFKC", text).casefold().encode()) < limit


def strings(texts: Sequence[str]) -> Array:
    """A string tensor [B]; halves of surrogate pairs, which UTF-8 has none of, become "?"."""
    clean = [t if t.isascii() else t.encode("utf-8", "replace").decode("utf-8") for t in texts]
    return np.array(clean, dtype=object).reshape(-1)


def padded(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of ids side by side, int64 [B, T], padding behind them; T is 1 at least."""
    width = max((len(row) for row in rows), default=0)
    values = np.full((len(rows), max(1, width)), PAD, np.int64)
    for row, ids in zip(values, rows, strict=True):
        row[: len(ids)] = ids
    return values


def batch(rows: Sequence[Ids], ends: Sequence[bool] | None = None) -> tuple[Array, Array]:
    """Ids [B, T] with start tokens and, where `ends` says so (everywhere by default), end tokens.

    Returns:
        The ids, and the lengths int64 [B].
    """
    ends = [True] * len(rows) if ends is None else ends
    whole = [[BOS, *ids, *([EOS] if end else [])] for ids, end in zip(rows, ends, strict=True)]
    return padded(whole), np.array([len(row) for row in whole], np.int64)


def _parts(text: str, size: int) -> Iterator[str]:
    """Words, long ones in parts of about `size` letters; accents stay with their letters."""
    for word in unicodedata.normalize("NFKC", text).split():
        begin = 0
        for end in range(1, len(word) + 1):
            whole = end == len(word)
            if whole or (end - begin >= size and not unicodedata.combining(word[end])):
                yield word[begin:end]
                begin = end


def _letters(text: str) -> str:
    """A text without spaces and without the signs of unknown letters, of which one stands for many."""
    return "".join(text.split()).replace("\u2047", "")
