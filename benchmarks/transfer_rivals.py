"""Verses in two styles, a classifier of the styles, and what else than a VAE moves a verse from one to the other."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqvae.errors import UserError

STYLES = ("kjv", "bbe")
MARKED = 1.0
"""Log-odds from which on a word marks a style."""
CONTEXTS = 500
"""Words beside a word that are counted: the most frequent of those that mark no style."""
ALIKE = 0.3
"""Cosine of contexts from which on a word stands for another."""


@dataclass(frozen=True)
class Verses:
    """What is trained on and what is tested.

    Attributes:
        train: verses of each style, in an order of their own.
        valid: verses of each style.
        test: the same verses in all styles, row by row.
    """

    train: Mapping[str, list[str]]
    valid: Mapping[str, list[str]]
    test: Mapping[str, list[str]]


def verses(folder: Path, seed: int = 0) -> Verses:
    """Read the tables and keep their splits apart.

    Raises:
        UserError: a table cannot be read, or a line of one has not two columns.
    """
    pairs = {
        (style, split): _pairs(folder / f"bible_{style}_asv" / f"{split}.tsv")
        for style in STYLES
        for split in ("train", "valid", "test")
    }
    first, second = ({asv: text for text, asv in pairs[style, "test"]} for style in STYLES)
    common = sorted(set(first) & set(second))
    random.Random(seed).shuffle(common)
    held = set(first) | set(second)
    left: dict[str, dict[str, list[str]]] = {}
    for split in ("train", "valid"):
        left[split] = {}
        for style in STYLES:
            texts = sorted({text for text, asv in pairs[style, split] if asv not in held})
            # Each style in an order of its own: nothing may tell which verses belong together.
            random.Random(f"{seed} {style} {split}").shuffle(texts)
            left[split][style] = texts
    test = {
        style: [found[asv] for asv in common]
        for style, found in zip(STYLES, (first, second), strict=True)
    }
    return Verses(left["train"], left["valid"], test)


def _pairs(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if len(columns) != 2:
            raise UserError(f"{path}, line {number}: {len(columns)} columns, expected 2")
        found.append((columns[0], columns[1]))
    return found


class Style:
    """A classifier of styles: logistic regression on words and letters counted.

    Args:
        texts: of each style.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline, make_union

        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        letters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), min_df=5, sublinear_tf=True
        )
        self._classify = make_pipeline(
            make_union(words, letters), LogisticRegression(C=10.0, max_iter=300)
        )
        rows = [(text, style) for style, found in texts.items() for text in found]
        self._classify.fit([text for text, _ in rows], [style for _, style in rows])

    def share(self, texts: Sequence[str], style: str) -> float:
        """The part of `texts` that is taken for `style`."""
        return float((self._classify.predict(list(texts)) == style).mean())


def markers(own: Sequence[str], other: Sequence[str]) -> set[str]:
    """Words of a style: those more frequent in it than in the other by `MARKED` nats of log-odds, one added to each count."""
    mine, theirs = (
        Counter(word for text in texts for word in text.split()) for texts in (own, other)
    )
    total = math.log(sum(mine.values()) / sum(theirs.values()))
    return {
        word
        for word, count in mine.items()
        if count >= 10 and math.log((count + 1) / (theirs[word] + 1)) - total > MARKED
    }


def without_markers(texts: Sequence[str], marked: set[str]) -> list[str]:
    """Texts without the words that mark their style (the deletion of Li et al. 2018, arXiv 1804.06437)."""
    return [" ".join(w for w in text.split() if w not in marked) or text for text in texts]


def neighbours(texts: Sequence[str], known: Sequence[str]) -> list[str]:
    """For each text the known one that shares most of its words (cosine of TF-IDF)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(sublinear_tf=True)
    bank = counts.fit_transform(known)
    nearest = np.asarray((counts.transform(texts) @ bank.T).argmax(1)).ravel()
    return [known[i] for i in nearest]


def unseen(train: Mapping[str, Sequence[str]], tested: Sequence[str]) -> dict[str, list[str]]:
    """Training verses without those that stand in the test word by word: some verses are said twice."""
    held = set(tested)
    return {style: [text for text in texts if text not in held] for style, texts in train.items()}


def lexicon(own: Sequence[str], other: Sequence[str]) -> dict[str, str]:
    """For each word that marks a style the one that marks the other and stands most nearly in the same company.

    Company: which of the words common to both styles stand right before and right after, as positive pointwise
    mutual information. No verse is compared with its like: the counts of either style are its own.

    Args:
        own: texts of the style to leave.
        other: texts of the style to take.
    """
    mine, theirs = sorted(markers(own, other)), sorted(markers(other, own))
    if not mine or not theirs:
        return {}
    marked = {*mine, *theirs}
    counts = Counter(word for text in (*own, *other) for word in text.split())
    common = [word for word, _ in counts.most_common() if word not in marked][:CONTEXTS]
    near = _company(mine, own, common) @ _company(theirs, other, common).T
    best = near.argmax(1)
    return {word: theirs[best[i]] for i, word in enumerate(mine) if near[i, best[i]] >= ALIKE}


def _company(
    words: Sequence[str], texts: Sequence[str], common: Sequence[str]
) -> npt.NDArray[np.float64]:
    rows = {word: i for i, word in enumerate(words)}
    columns = {word: i for i, word in enumerate(common)}
    counts = np.zeros((len(rows), 2 * len(columns)))
    for text in texts:
        said = text.split()
        for before, after in itertools.pairwise(said):
            if after in rows and before in columns:
                counts[rows[after], columns[before]] += 1
            if before in rows and after in columns:
                counts[rows[before], len(columns) + columns[after]] += 1
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / max(1.0, counts.sum())
    seen = counts > 0
    positive = np.zeros_like(counts)
    positive[seen] = np.log(counts[seen] / expected[seen]).clip(0)
    lengths = np.linalg.norm(positive, axis=1, keepdims=True)
    return positive / np.where(lengths > 0, lengths, 1.0)


def substituted(texts: Sequence[str], words: Mapping[str, str]) -> list[str]:
    """Texts with each word of the lexicon in place of its own."""
    return [" ".join(words.get(word, word) for word in text.split()) for text in texts]
