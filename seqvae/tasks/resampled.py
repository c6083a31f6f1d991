"""A sound at another rate, a block at a time: what comes out is what the whole would give."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from seqvae.nn.resample import ZEROS, resample
from seqvae.tasks.chunks import Array

BLOCK = 1 << 16
"""Samples, about, that are resampled at once."""
REACH = 2 * ZEROS
"""Samples of the lower rate around a sample that its value may depend on."""


def resampled(blocks: Iterable[Array], rate: int, wanted: int) -> Iterator[Array]:
    """Blocks of a sound at `wanted` Hz from those at `rate` Hz; N samples give ceil(N wanted / rate).

    Args:
        blocks: consecutive samples, each shape [n].
        rate: of the samples, Hz.
        wanted: Hz.
    """
    if rate == wanted:
        yield from blocks
        return
    divisor = math.gcd(rate, wanted)
    down, up = rate // divisor, wanted // divisor
    # Cuts at multiples of `down` samples: there the two rates have a sample in common.
    context = math.ceil(REACH * max(1.0, rate / wanted) / down) * down
    block = math.ceil(BLOCK / down) * down
    # Silence before the first sample and behind the last, as `resample` has it.
    buffer = np.zeros(context, np.float32)
    for samples in blocks:
        buffer = np.concatenate([buffer, samples])
        while len(buffer) >= block + 2 * context:
            out = resample(buffer[: block + 2 * context], rate, wanted)
            yield out[context // down * up : (context + block) // down * up]
            buffer = buffer[block:]
    rest = len(buffer) - context
    if rest:
        out = resample(np.pad(buffer, (0, context)), rate, wanted)
        yield out[context // down * up :][: math.ceil(rest * up / down)]
