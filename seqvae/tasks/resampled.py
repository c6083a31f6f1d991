"""A sound at another rate, a block at a time: what comes out is what the whole would give."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from seqvae.tasks.chunks import Array

Resample = Callable[[Array, int, int], Array]
"""(samples [N], their rate, the wanted one) -> samples [ceil(N wanted / rate)]."""

BLOCK = 1 << 16
"""Samples, about, that are resampled at once."""
REACH = 64
"""Samples of the lower rate around a sample that its value may depend on: twice the filter's zero crossings."""


def resampled(
    blocks: Iterable[Array], rate: int, wanted: int, resample: Resample | None = None
) -> Iterator[Array]:
    """Blocks of a sound at `wanted` Hz from those at `rate` Hz; N samples give ceil(N wanted / rate).

    Args:
        blocks: consecutive samples, each shape [n].
        rate: of the samples, Hz.
        wanted: Hz.
        resample: what does it; by default torchaudio, through `seqvae.nn.resample`.
    """
    if rate == wanted:
        yield from blocks
        return
    change = resample or _with_torch()
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
            out = change(buffer[: block + 2 * context], rate, wanted)
            yield out[context // down * up : (context + block) // down * up]
            buffer = buffer[block:]
    rest = len(buffer) - context
    if rest:
        out = change(np.pad(buffer, (0, context)), rate, wanted)
        yield out[context // down * up :][: math.ceil(rest * up / down)]


def _with_torch() -> Resample:
    # Here, so that a caller that brings its own can do without torch.
    from seqvae.nn.resample import resample

    return resample
