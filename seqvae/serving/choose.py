"""Which token comes next, in numpy: the twin of `seqvae.tasks.sampling` for one row."""

import math
from typing import Any

import numpy as np

from seqvae.data.text import BLANK, BOS, PAD, UNK
from seqvae.serving.options import Options

Floats = np.ndarray[Any, np.dtype[np.float32]]
NEVER = [PAD, UNK, BOS, BLANK]
COLDEST = 1e-6
"""Lowest temperature; below it there is no difference from greedy."""
STRIDE = 1696631.25
"""As `seqvae.tasks.sampling.STRIDE`."""


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
    tempered = scores / np.float32(options.temperature)
    probability = np.exp(tempered - tempered.max())
    probability /= probability.sum()
    kept = scores >= threshold(scores, probability, options.top_k, options.top_p)
    return invert(np.where(kept, probability, np.float32(0)), uniform)


def invert(weights: Floats, uniform: float) -> int:
    """The token that a uniform number points at, as `seqvae.tasks.sampling.invert` says it."""
    root = math.isqrt(len(weights) - 1) + 1
    width = next((w for w in range(root, 2 * root) if len(weights) % w == 0), root)
    blocks = np.pad(weights.astype(np.float64), (0, -len(weights) % width)).reshape(-1, width)
    ends = blocks.sum(1).cumsum()
    block = int(np.searchsorted(ends, uniform * ends[-1], side="right"))
    inside = blocks[block].cumsum()
    rest = uniform * STRIDE % 1.0
    return block * width + int(np.searchsorted(inside, rest * inside[-1], side="right"))


def threshold(scores: Floats, probability: Floats, top_k: int, top_p: float) -> float:
    """The least of the scores [V] that a token may have to be drawn.

    Args:
        scores: what the tokens rank by; their ties decide.
        probability: of all tokens, shape [V].
        top_k: only the k tokens with the highest scores, and those that tie with the last of them.
        top_p: of these, only the fewest with the highest scores whose share of the mass reaches
            this, and those that tie with the last of them.
    """
    least = -np.inf
    filters_k, filters_p = 0 < top_k < len(scores), top_p < 1
    if not (filters_k or filters_p):
        return least
    if filters_k:
        least = float(np.partition(scores, -top_k)[-top_k])
    if filters_p:
        mass = np.where(scores >= least, probability, np.float32(0)).astype(np.float64)
        part = float(np.float32(top_p))
        total = mass.sum()
        # Tokens below this have less than 1 - top_p together: none of them is in the nucleus, and
        # few are left to sort. The hundredth covers rounding.
        likely = np.flatnonzero(mass > 0.99 * (1 - part) * total / len(mass))
        order = likely[np.argsort(-scores[likely], kind="stable")]
        before = mass[order].cumsum() - mass[order]
        inside = int((before < part * total).sum())
        least = float(scores[order[max(0, inside - 1)]])
    return least
