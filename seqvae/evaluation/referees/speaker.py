"""Whose voice it is, by Resemblyzer (GE2E embeddings of 256 numbers): cosines to voices and the nearest of them.

A voice is the normalised mean of its recordings' embeddings. The silences are left in: Resemblyzer's own trimming
changes which part of a short sentence is heard.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from seqvae.evaluation.referees.sound import RATE, Samples

NEEDS = ("resemblyzer",)
# A voice of one recording is cut into this many pieces where its likeness to itself is wanted.
PIECES = 3
# Resemblyzer's window is 1.6 s; shorter pieces are mostly padding.
SHORTEST_PIECE = int(1.6 * RATE)


class Voices:
    """The voices that a job speaks of.

    Args:
        recordings: of each voice.
    """

    def __init__(self, recordings: Mapping[str, Sequence[Samples]]) -> None:
        embedded = {
            name: np.stack([embed(sound) for sound in sounds])
            for name, sounds in recordings.items()
        }
        self.centroids = {name: _unit(rows.mean(axis=0)) for name, rows in embedded.items()}
        self._own = {name: _own_likeness(rows, recordings[name]) for name, rows in embedded.items()}
        self._across = {
            (a, b): float(np.mean(embedded[a] @ self.centroids[b]))
            for a in embedded
            for b in embedded
        }

    def judge(self, sound: Samples, target: str, source: str | None) -> dict[str, Any]:
        """How like the target, how like the source, and whom it is taken for.

        Returns:
            `similarity` (cosine to the target's centroid), `identified` (the nearest of all voices),
            `as_target` (0 or 1); with a source also `source_similarity` and, where the target's recordings allow it,
            `gap_closed`: 0 = as unlike the target as the source's own recordings, 1 = as like as the target's own.

        Raises:
            ValueError: a voice that is not among the voices.
        """
        for name in (target, *([] if source is None else [source])):
            if name not in self.centroids:
                raise ValueError(f"voice {name!r} has no recordings in this job")
        embedding = embed(sound)
        likeness = {name: float(embedding @ row) for name, row in self.centroids.items()}
        nearest = max(likeness, key=lambda name: likeness[name])
        found: dict[str, Any] = {
            "similarity": likeness[target],
            "identified": nearest,
            "as_target": int(nearest == target),
        }
        if source is not None:
            found["source_similarity"] = likeness[source]
            own, floor = self._own[target], self._across[source, target]
            if source != target and own is not None and own > floor:
                found["gap_closed"] = (likeness[target] - floor) / (own - floor)
        return found

    def table(self) -> dict[str, Any]:
        """Likeness of each voice's recordings to its own centroid (each left out in turn) and to the others'."""
        across = {f"{a}>{b}": value for (a, b), value in self._across.items() if a != b}
        return {"own": self._own, "across": across}


@lru_cache(maxsize=1)
def _encoder() -> Any:  # noqa: ANN401
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # namespaces that SciPy and setuptools are about to drop
        from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


def embed(sound: Samples) -> np.ndarray:
    """Unit vector [256] of 16 kHz samples."""
    return np.asarray(_encoder().embed_utterance(np.asarray(sound, np.float32)), np.float64)


def _own_likeness(rows: np.ndarray, sounds: Sequence[Samples]) -> float | None:
    """Mean cosine of a recording to the centroid of the others; None where there is too little of the voice."""
    if len(rows) == 1:
        pieces = np.array_split(sounds[0], PIECES)
        if min(map(len, pieces)) < SHORTEST_PIECE:
            return None
        cut = [embed(piece) for piece in pieces]
        return float(np.mean([a @ b for a, b in combinations(cut, 2)]))
    total = rows.sum(axis=0)
    return float(np.mean([row @ _unit(total - row) for row in rows]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))
