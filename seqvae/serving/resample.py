"""Sound at another rate without torch: the filter of `seqvae.nn.resample`, in numpy.

That of `torchaudio.functional.resample`: a sinc in a window cos^2, cut off below the lower rate's half.
Samples whose place between those of the source is the same share their weights, so each such place
is one product of a matrix and a vector.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from seqvae.errors import UserError

Floats = np.ndarray[Any, np.dtype[np.float32]]

ZEROS = 32
"""Zero crossings of the sinc on each side, at the lower rate."""
ROLLOFF = 0.97
"""Cut-off as a share of the lower half rate; see `seqvae.nn.resample` for both."""
SLOWEST, FASTEST = 1000, 768_000
"""Rates that are believed, Hz."""

# Places whose weights are made at once, and of how many they are kept.
_BLOCK, _KEPT = 512, 2048


def resample(samples: Floats, rate: int, wanted: int) -> Floats:
    """Sound at another rate; N samples give ceil(N wanted / rate). Around it there is silence.

    Args:
        samples: float32 [N].
        rate: theirs, Hz.
        wanted: Hz.

    Raises:
        UserError: a rate that no sound has.
    """
    for value in (rate, wanted):
        if isinstance(value, bool) or not SLOWEST <= value <= FASTEST:
            raise UserError(f"sample rate {value} Hz is not from {SLOWEST} to {FASTEST}")
    if rate == wanted or not len(samples):
        return samples
    divisor = math.gcd(rate, wanted)
    down, up = rate // divisor, wanted // divisor
    length = math.ceil(len(samples) * up / down)
    reach = _reach(down, up)
    # One more behind: the first tap is `reach` before the last sample not after the wanted one.
    around = np.pad(samples.astype(np.float32, copy=False), (reach, reach + 1 + down))
    seen = np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1)
    out = np.empty(length, np.float32)
    places = min(up, length)
    for first in range(0, places, _BLOCK):
        make = _kept_weights if up <= _KEPT else _weights
        for place, weights in enumerate(make(first, min(first + _BLOCK, places), down, up), first):
            count = len(range(place, length, up))
            out[place::up] = seen[place * down // up :: down][:count] @ weights
    return out


def _reach(down: int, up: int) -> int:
    """Samples of the source on each side that a sample is made of."""
    return math.ceil(ZEROS / (min(1.0, up / down) * ROLLOFF))


def _weights(first: int, last: int, down: int, up: int) -> Floats:
    """Those of the samples that lie `first` to `last` - 1 places behind one of the source, [n, taps]."""
    band = min(1.0, up / down) * ROLLOFF
    reach = _reach(down, up)
    phase = np.arange(first, last, dtype=np.int64) * down % up / up
    times = (np.arange(-reach, reach + 1)[None] - phase[:, None]) * band
    times = np.clip(times, -ZEROS, ZEROS)
    window = np.cos(times * (math.pi / (2 * ZEROS))) ** 2
    weights: Floats = (np.sinc(times) * window * band).astype(np.float32)
    return weights


_kept_weights = lru_cache(maxsize=32)(_weights)
