"""What referees say of verses moved to another style: the style they are taken for, what is kept of them, and their fluency."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.remembered import Referees
from benchmarks.transfer_rivals import Style

Floats = npt.NDArray[np.float32]


class Judge:
    """Of verses moved in one direction.

    Args:
        texts: that were moved.
        wanted: the same verses in the other translation.
        target: the style they were moved to.
        classify: of styles.
        referees: of content and fluency.
        read: how many, from the first on, the language model reads.
    """

    def __init__(
        self,
        texts: Sequence[str],
        wanted: Sequence[str],
        target: str,
        classify: Style,
        referees: Referees,
        read: int,
    ) -> None:
        self._texts, self._wanted, self._target = list(texts), list(wanted), target
        self._classify, self._referees, self._read = classify, referees, read

    def row(self, who: str, written: Sequence[str]) -> dict[str, Any]:
        """Figures of one system; those of a referee that is not installed are absent."""
        import sacrebleu

        given = list(written)
        row: dict[str, Any] = {
            "who": who,
            "style": self._classify.share(given, self._target),
            "bleu": sacrebleu.corpus_bleu(given, [self._wanted]).score,
            "chrf": sacrebleu.corpus_chrf(given, [self._wanted]).score,
            "self_bleu": sacrebleu.corpus_bleu(given, [self._texts]).score,
            "self_chrf": sacrebleu.corpus_chrf(given, [self._texts]).score,
            "copies": float(
                np.mean(
                    [
                        a.casefold().split() == b.casefold().split()
                        for a, b in zip(given, self._texts, strict=True)
                    ]
                )
            ),
        }
        vectors = self._referees.vectors([*self._texts, *self._wanted, *given])
        if vectors is not None:
            own, other, theirs = vectors.reshape(3, len(given), -1)
            row["content"] = float((own * theirs).sum(1).mean())
            row["to_reference"] = float((other * theirs).sum(1).mean())
            row["joint"] = math.sqrt(max(0.0, row["content"]) * row["style"])
        nats = self._referees.nats(given[: self._read])
        if nats is not None:
            words = sum(len(text.split()) for text in given[: self._read])
            row["nats_per_word"] = float(nats.sum()) / max(1, words)
        return row
