"""How far texts lie from known ones in the latent space, and how odd that and their misfit make them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqvae.errors import UserError
from seqvae.tasks.score import Score, score

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

Values = np.ndarray[Any, np.dtype[np.float64]]
Vectors = np.ndarray[Any, np.dtype[np.float32]]

NEIGHBOURS = 10
USUAL = 500
"""Known texts that say how much the misfit and the distance vary: their deviations are then within 5 %."""
_BLOCK = 1024
_SMALLEST = 1e-6
"""Part of the mean variance below which a direction counts as empty."""


class Reference:
    """Known texts of the usual kind, to compare others with; see `TextModel.reference`.

    The space is whitened by the covariance within the labels (Lee et al. 2018, "A Simple Unified Framework for
    Detecting Out-of-Distribution Samples", section 2.1), so that what tells labels apart counts most; without labels by
    that of all texts. Distances are cosines to the nearest known texts, since lengths of whitened means say little.

    Args:
        model: with a latent.
        known: texts of the usual kind, at best those of the training.
        labels: what each is about; they need not be known to the model.
        neighbours: nearest known texts over which the distance is a mean.
        seed: of the samples for the misfits.

    Raises:
        UserError: the model has no latent, there are no more known texts than neighbours or dimensions, or there are not
            as many labels as texts.
    """

    def __init__(
        self,
        model: "TextModel",
        known: Sequence[str],
        labels: Sequence[str] | None = None,
        *,
        neighbours: int = NEIGHBOURS,
        seed: int = 0,
    ) -> None:
        least = max(neighbours, model.need_latent("reference").dimension) + 1
        if neighbours < 1:
            raise UserError(f"reference: neighbours is {neighbours}; it must be 1 or more")
        if len(known) < least:
            raise UserError(f"reference: {len(known)} known texts; it takes {least} or more")
        if labels is not None and len(labels) != len(known):
            raise UserError(f"reference: {len(labels)} labels of {len(known)} known texts")
        self.model, self.neighbours = model, neighbours
        vectors = model.embed(known)
        self._centre = vectors.mean(0)
        self._white = _whitening(vectors, labels)
        self._known = self._directions(vectors)
        rows = np.unique(np.linspace(0, len(known) - 1, min(USUAL, len(known))).astype(int))
        # Each is its own nearest neighbour, with a cosine of 1.
        near = self._nearest(self._known[rows], neighbours + 1)
        distances = 1 - (near.sum(1) - 1) / neighbours
        misfits = [s.misfit for s in score(model, [known[i] for i in rows], 1, seed)]
        self._usual = [_moments(misfits), _moments(distances)]

    def distances(self, texts: Sequence[str]) -> Values:
        """1 - mean cosine to the nearest known texts, [N]: 0 is among them, 1 at right angles to them."""
        near = self._nearest(self._directions(self.model.embed(texts)), self.neighbours)
        return np.asarray(1 - near.mean(1))

    def oddity(self, scores: Sequence[Score]) -> Values:
        """How odd texts are, [N]: their misfit and their distance, each in deviations of known texts, added.

        A text may be odd for either: words that z cannot hold, or usual words for an unusual purpose.

        Args:
            scores: of `TextModel.score`.
        """
        found = np.array([s.misfit for s in scores]), self.distances([s.text for s in scores])
        parts = [
            (values - mean) / deviation
            for values, (mean, deviation) in zip(found, self._usual, strict=True)
        ]
        return np.asarray(parts[0] + parts[1])

    def _directions(self, vectors: Vectors) -> Vectors:
        white = (vectors - self._centre) @ self._white
        lengths = np.linalg.norm(white, axis=1, keepdims=True)
        return np.asarray(white / np.maximum(lengths, 1e-12), np.float32)

    def _nearest(self, directions: Vectors, count: int) -> Vectors:
        """Greatest cosines to known texts, [N, count]."""
        found = [
            np.partition(directions[start : start + _BLOCK] @ self._known.T, -count, axis=1)
            for start in range(0, len(directions), _BLOCK)
        ]
        return np.concatenate([np.zeros((0, count), np.float32), *(f[:, -count:] for f in found)])


def _whitening(vectors: Vectors, labels: Sequence[str] | None) -> Vectors:
    """Matrix [D, D] that makes the covariance within the labels, or of all, the identity."""
    spread = vectors.astype(np.float64)
    if labels is None:
        spread = spread - spread.mean(0)
    else:
        _, place = np.unique(np.asarray(labels), return_inverse=True)
        sums = np.zeros((place.max() + 1, spread.shape[1]))
        np.add.at(sums, place, spread)
        spread = spread - (sums / np.bincount(place)[:, None])[place]
    values, axes = np.linalg.eigh(spread.T @ spread / len(spread))
    return np.asarray(
        axes / np.sqrt(np.maximum(values, _SMALLEST * values.mean() + 1e-12)), np.float32
    )


def _moments(values: Sequence[float] | Values | Vectors) -> tuple[float, float]:
    return float(np.mean(values)), max(float(np.std(values)), 1e-6)
