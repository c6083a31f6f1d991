"""What referees say of paraphrases: overlap with the input and with references, what is said, fluency, and how well candidates are ranked."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.remembered import Floats, Referees
from seqvae.evaluation.text import paraphrase_quality

FIGURES = ("bleu_to_reference", "bleu_to_input", "ibleu_0.8", "ibleu_0.9", "distinct_2")


class Judge:
    """What referees say of paraphrases.

    Args:
        texts: that were paraphrased.
        others: references of each.
        referees: judge what is said and how fluently.
        read: how many texts of a row are read for fluency, the first ones.
    """

    def __init__(
        self,
        texts: Sequence[str],
        others: Sequence[Sequence[str]],
        referees: Referees,
        read: int = 100,
    ) -> None:
        self._texts, self._others, self._referees, self._read = texts, others, referees, read
        self._own = referees.vectors(texts)
        flat = referees.vectors([text for row in others for text in row])
        ends = np.cumsum([len(row) for row in others])[:-1]
        self._theirs = None if flat is None else np.split(flat, ends)

    def row(self, who: str, written: Sequence[str]) -> dict[str, Any]:
        """Figures of one paraphrase a text."""
        quality = paraphrase_quality(written, self._texts, self._others)
        copies = [a.casefold() == b.casefold() for a, b in zip(written, self._texts, strict=True)]
        row: dict[str, Any] = {
            "who": who,
            **{key: quality[key] for key in FIGURES},
            "copies": float(np.mean(copies)),
        }
        likeness = self.likeness(written)
        if likeness is not None:
            row["to_input"], row["to_references"] = (float(found.mean()) for found in likeness)
        read = written[: self._read]
        nats = self._referees.nats(read)
        if nats is not None:
            words = sum(len(text.split()) for text in read)
            row["nats_per_word"] = float(nats.sum()) / max(1, words)
        return row

    def likeness(self, written: Sequence[str]) -> tuple[Floats, Floats] | None:
        """Cosines to each input and to its references, their mean, by the sentence encoder; None without one."""
        vectors = self._referees.vectors(written)
        if vectors is None or self._own is None or self._theirs is None:
            return None
        to_references = [
            float((v @ t.T).mean()) for v, t in zip(vectors, self._theirs, strict=True)
        ]
        return (vectors * self._own).sum(1), np.asarray(to_references, np.float32)

    def ranking(self, who: str, found: Sequence[Sequence[str]], seed: int) -> list[dict[str, Any]]:
        """The model's first candidate, a random one, its last, and the one nearest to the references."""
        generator = random.Random(seed)
        picked = {
            "first by the model": [row[0] for row in found],
            "any": [generator.choice(row) for row in found],
            "last by the model": [row[-1] for row in found],
        }
        flat = [(i, text) for i, row in enumerate(found) for text in row]
        vectors = self._referees.vectors([text for _, text in flat])
        if vectors is not None and self._theirs is not None:
            best: dict[int, tuple[float, str]] = {}
            for (i, text), vector in zip(flat, vectors, strict=True):
                best[i] = max(
                    best.get(i, (-2.0, "")), (float((self._theirs[i] @ vector).mean()), text)
                )
            picked["nearest to the references (oracle)"] = [best[i][1] for i in range(len(found))]
        return [
            self.row(f"{who}, of {max(map(len, found))}: {how}", rows)
            for how, rows in picked.items()
        ]
