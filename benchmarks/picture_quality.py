"""How sharp, how varied and how true pictures are that a model writes, relative to real ones."""

import math
from collections import Counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.floating]
"""[N, rows, columns]."""


class Classifier(Protocol):
    """A classifier of flat pictures, as scikit-learn has them."""

    def predict(self, x: npt.NDArray[Any], /) -> npt.NDArray[Any]:
        """A label for each row."""


def edge_energy(pictures: Pictures) -> float:
    """Mean squared difference of neighbouring pixels, down and across: what blur takes away."""
    down, across = np.diff(pictures, axis=1), np.diff(pictures, axis=2)
    return float(np.square(down).mean() + np.square(across).mean())


def mean_distance(pictures: Pictures) -> float:
    """Mean Euclidean distance between two different pictures: what mode collapse takes away."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    squared = np.square(flat).sum(1)
    pairs = squared[:, None] + squared[None] - 2.0 * flat @ flat.T
    count = len(flat)
    return float(np.sqrt(np.maximum(pairs, 0.0)).sum() / (count * (count - 1)))


def nearest_distance(pictures: Pictures, real: Pictures) -> float:
    """Mean Euclidean distance to the nearest real picture: what is no digit is far from all."""
    flat, known = (x.reshape(len(x), -1).astype(np.float64) for x in (pictures, real))
    pairs = np.square(flat).sum(1)[:, None] + np.square(known).sum(1)[None] - 2.0 * flat @ known.T
    return float(np.sqrt(np.maximum(pairs.min(1), 0.0)).mean())


def class_entropy(labels: npt.NDArray[Any]) -> float:
    """Entropy in nats of the labels' frequencies; ln 10 where all digits are as frequent."""
    counts = np.array(list(Counter(labels.tolist()).values()), float)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def quality(
    pictures: Pictures, train: Pictures, test: Pictures, classifier: Classifier
) -> dict[str, float]:
    """Sharpness, diversity and nearness, each 1 for pictures that are as held-out real ones; and classes.

    Args:
        pictures: to be judged.
        train: real ones, those the model knows.
        test: real ones that it does not know.
        classifier: of real ones.

    Returns:
        sharpness: edge energy by that of `test`; diversity: mean distance by theirs; nearest: distance to
        the nearest of `train` by theirs, below 1 for copies and averages; class_entropy as a part of ln 10.
    """
    found = classifier.predict(pictures.reshape(len(pictures), -1))
    return {
        "sharpness": edge_energy(pictures) / edge_energy(test),
        "diversity": mean_distance(pictures) / mean_distance(test),
        "nearest": nearest_distance(pictures, train) / nearest_distance(test, train),
        "class_entropy": class_entropy(found) / math.log(10),
    }
