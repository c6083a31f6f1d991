"""The noise of `seqvae.ops.philox`, without torch: bit-equal integers and uniforms.

There is the definition; a test compares the two.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Words = tuple["Words64", "Words64", "Words64", "Words64"]
Words64 = np.ndarray[Any, np.dtype[np.uint64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_UNIFORM_SCALE = np.float32(4.6566127342e-10)
_UNIFORM_FLOOR = np.float32(1e-7)


def philox4x32(seed: int, counter: Words64, offset: "int | Words64" = 0) -> Words:
    """The four 32-bit words of each block, as uint64 shaped like `counter`.

    Args:
        seed: any 64-bit integer.
        counter: uint64 [...], block indices.
        offset: stream under this seed; a number, or uint64 that broadcasts to `counter`.
    """
    if isinstance(offset, int):
        offset = np.array(offset & 0xFFFFFFFFFFFFFFFF, np.uint64)
    offset = np.broadcast_to(offset, counter.shape)
    key0, key1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    c0, c1, c2, c3 = counter & _MASK, counter >> _HALF, offset & _MASK, offset >> _HALF
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _HALF) ^ c1 ^ np.uint64(key0),
            product1 & _MASK,
            (product0 >> _HALF) ^ c3 ^ np.uint64(key1),
            product0 & _MASK,
        )
        key0, key1 = (key0 + _WEYL[0]) & 0xFFFFFFFF, (key1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def word_to_uniform(word: Words64) -> Floats:
    """Words in [0, 2**32) to float32 in [0, 1)."""
    folded = np.where(word > np.uint64(0x7FFFFFFF), _MASK - word, word)
    uniforms: Floats = folded.astype(np.float32) * _UNIFORM_SCALE
    return uniforms


def normal(seed: int, shape: Sequence[int], first: int = 0) -> Floats:
    """Standard normals: elements `first`, `first` + 1, ... of the noise of `seed`.

    Args:
        seed: any 64-bit integer.
        shape: of the result.
        first: element where to begin; 0 is `seqvae.ops.philox.normal(seed, shape)`.
    """
    count = math.prod(shape)
    blocks = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint64)
    u0, u1, u2, u3 = (word_to_uniform(word) for word in philox4x32(seed, blocks))
    lanes = np.stack((*_pair_to_normal(u0, u1), *_pair_to_normal(u2, u3)), -1).reshape(-1)
    return lanes[first % 4 : first % 4 + count].reshape(tuple(shape))


def latent_noise(seed: int, sample: int, dimension: int) -> Floats:
    """The noise of z that candidate `sample` has under `seed`, shape [D]."""
    return normal(seed, (dimension,), sample * dimension)


def token_uniforms(seed: int, sample: int, steps: int) -> Floats:
    """The uniforms that draw the first `steps` tokens of candidate `sample`, shape [steps]."""
    blocks = np.arange((steps + 3) // 4, dtype=np.uint64)
    words = philox4x32(seed, blocks, (sample + 1) << 32)
    return word_to_uniform(np.stack(words, -1).reshape(-1)[:steps])


def _pair_to_normal(u1: Floats, u2: Floats) -> tuple[Floats, Floats]:
    """Box-Muller."""
    radius = np.sqrt(np.float32(-2.0) * np.log(np.maximum(u1, _UNIFORM_FLOOR)))
    angle = np.float32(2.0 * math.pi) * u2
    return radius * np.cos(angle), radius * np.sin(angle)
