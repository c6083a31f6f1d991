"""Sets of molecules compared: similarity of fingerprints, counts and values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

Packed = np.ndarray[Any, np.dtype[np.uint8]]
_BLOCK = 2048


def nearest(found: Packed, reference: Packed) -> float:
    """Mean Tanimoto similarity of each fingerprint to its nearest in the reference (MOSES' SNN).

    Args:
        found: packed bits, shape [N, BITS / 8].
        reference: shape [M, BITS / 8].
    """
    if not len(found) or not len(reference):
        return math.nan
    best = torch.zeros(len(found))
    blocks = range(0, len(found), _BLOCK)
    for begin in tqdm(blocks, desc="neighbours", unit="block", disable=None):
        mine = _bits(found[begin : begin + _BLOCK])
        for start in range(0, len(reference), _BLOCK):
            alike = tanimoto(mine, _bits(reference[start : start + _BLOCK]))
            part = best[begin : begin + _BLOCK]
            torch.maximum(part, alike.amax(1), out=part)
    return float(best.double().mean())


def internal_diversity(found: Packed) -> tuple[float, float]:
    """MOSES' IntDiv and IntDiv2: 1 minus the mean over molecules of the power mean, p 1 and 2, of their similarity
    to all molecules, themselves included.

    Args:
        found: packed bits, shape [N, BITS / 8].
    """
    if not len(found):
        return math.nan, math.nan
    first, second = torch.zeros(2, len(found), dtype=torch.float64)
    for begin in range(0, len(found), _BLOCK):
        mine = _bits(found[begin : begin + _BLOCK])
        for start in range(0, len(found), _BLOCK):
            alike = tanimoto(mine, _bits(found[start : start + _BLOCK]))
            first[begin : begin + _BLOCK] += alike.sum(1)
            second[begin : begin + _BLOCK] += alike.square().sum(1)
    n = len(found)
    return 1 - float((first / n).mean()), 1 - float((second / n).sqrt().mean())


def tanimoto(a: Tensor, b: Tensor) -> Tensor:
    """Shared bits over bits of either, shape [N, M], of bits [N, BITS] and [M, BITS] as numbers; 1 for two without
    any."""
    shared = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1) - shared
    return torch.where(either > 0, shared / either.clamp_min(1), 1.0)


def _bits(packed: Packed) -> Tensor:
    return torch.from_numpy(np.unpackbits(packed, axis=1)).float()


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Cosine of two vectors of counts (MOSES' Frag and Scaf); nan where one is empty."""
    if not a or not b:
        return math.nan
    shared = sum(count * b[name] for name, count in a.items() if name in b)
    lengths = math.sqrt(sum(c * c for c in a.values())) * math.sqrt(sum(c * c for c in b.values()))
    return shared / lengths


def wasserstein(a: "np.ndarray[Any, Any]", b: "np.ndarray[Any, Any]") -> float:
    """Earth mover's distance of two samples [N] and [M]: the area between their distribution functions."""
    if not len(a) or not len(b):
        return math.nan
    a, b = np.sort(np.asarray(a, np.float64)), np.sort(np.asarray(b, np.float64))
    every = np.sort(np.concatenate([a, b]))
    below_a = np.searchsorted(a, every[:-1], side="right") / len(a)
    below_b = np.searchsorted(b, every[:-1], side="right") / len(b)
    return float((np.abs(below_a - below_b) * np.diff(every)).sum())
