"""Points between two latent vectors; the twin of `seqvae.tasks.interpolate.between`."""

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]


def between(first: Floats, last: Floats, steps: int, *, spherical: bool) -> Floats:
    """`steps` points from `first` to `last`, both [D], on the line or the arc, shape [steps, D].

    Spherical: Shoemake 1985, used on latents by White 2016, arXiv 1609.04468.
    """
    way = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    norms = np.linalg.norm(first) * np.linalg.norm(last)
    cosine = np.clip(np.dot(first, last) / np.maximum(norms, np.float32(1e-8)), -1, 1)
    # Along (nearly) one direction, either way round, the arc is not defined: take the line.
    if not spherical or abs(cosine) > 0.9995:
        points: Floats = np.where(
            way < 0.5, first + way * (last - first), last - (1 - way) * (last - first)
        )
        return points
    angle = np.arccos(cosine)
    arc = (np.sin((1 - way) * angle) * first + np.sin(way * angle) * last) / np.sin(angle)
    points = arc.astype(np.float32)
    return points
