"""Which token comes next, in numpy: the twin of `seqvae.tasks.sampling` for one row."""

from typing import Any

import numpy as np

from seqvae.data.text import BLANK, BOS, PAD, UNK
from seqvae.serving.options import Options

Floats = np.ndarray[Any, np.dtype[np.float32]]
NEVER = [PAD, UNK, BOS, BLANK]
COLDEST = 1e-6
"""Lowest temperature; below it there is no difference from greedy."""


def choose(logits: Floats, options: Options, uniform: float) -> int:
    """The next token, greedy or drawn as the options say.

    Args:
        logits: shape [V].
        options: temperature, top_k and top_p count.
        uniform: in [0, 1); decides where a token is drawn.
    """
    scores = logits.astype(np.float32)
    scores[NEVER] = -np.inf
    if options.temperature < COLDEST:
        return int(scores.argmax())
    # From the best score down: a tiny temperature makes the others minus infinity, not all of them.
    scores = (scores - scores.max()) / np.float32(options.temperature)
    kept = scores >= threshold(scores, options.top_k, options.top_p)
    probability = np.where(kept, np.exp(scores), np.float32(0))
    mass = probability.cumsum(dtype=np.float32)
    token = int(np.searchsorted(mass, np.float32(uniform) * mass[-1], side="right"))
    # Rounding may find nothing for a u next to 1: the last token that may come is meant.
    return min(token, int(probability.nonzero()[0][-1]))


def threshold(scores: Floats, top_k: int, top_p: float) -> np.float32:
    """The least score [V] that a token may have to be drawn."""
    least = np.float32(-np.inf)
    filters_k, filters_p = 0 < top_k < len(scores), top_p < 1
    if not (filters_k or filters_p):
        return least
    ranked = np.sort(scores)[::-1]
    if filters_k:
        least = ranked[top_k - 1]
        ranked = ranked[ranked >= least]
    if filters_p:
        mass = np.exp(ranked)
        before = mass.cumsum(dtype=np.float32) - mass
        inside = before < np.float32(top_p) * mass.sum(dtype=np.float32)
        inside[0] = True
        least = ranked[inside.sum() - 1]
    return least
