"""Sound at another rate, by torchaudio's windowed sinc."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from seqvae.errors import UserError
from seqvae.nn.torchaudio_guard import torchaudio

Floats = np.ndarray[Any, np.dtype[np.float32]]

ZEROS = 32
"""Zero crossings of the sinc on each side, at the lower rate; beyond them the filter is zero."""
ROLLOFF = 0.97
"""Cut-off as a share of the lower half rate.

From 48 to 16 kHz the two give -0.7 dB at 7.5 kHz and -47 dB at 8.2 kHz; torchaudio's own 6 and 0.99
give -3.7 and -8 dB, which folds what lies above 8 kHz into the upper mel bins."""
SLOWEST, FASTEST = 1000, 768_000
"""Rates that are believed, Hz."""

# torchaudio has one filter for each sample of the common period: 44,101 to 16,000 Hz would take 2.8 GB.
_MOST_PHASES = 2048
# Samples written at once where each has a filter of its own.
_BLOCK = 4096


def resample(samples: Floats, rate: int, wanted: int) -> Floats:
    """Sound at another rate; N samples give ceil(N wanted / rate). Around it there is silence.

    Args:
        samples: float32 [N] or [B, N].
        rate: theirs, Hz.
        wanted: Hz.

    Raises:
        UserError: a rate that no sound has, or torchaudio is not installed.
    """
    for value in (rate, wanted):
        if not SLOWEST <= value <= FASTEST:
            raise UserError(f"sample rate {value} Hz is not from {SLOWEST} to {FASTEST}")
    if rate == wanted or not samples.shape[-1]:
        return samples
    divisor = math.gcd(rate, wanted)
    down, up = rate // divisor, wanted // divisor
    with torch.no_grad():
        wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        plain = max(down, up) <= _MOST_PHASES
        out: Floats = (_filter(down, up)(wave) if plain else _direct(wave, down, up)).numpy()
    return out


@lru_cache(maxsize=8)
def _filter(down: int, up: int) -> nn.Module:
    module: nn.Module = torchaudio().transforms.Resample(
        down, up, lowpass_filter_width=ZEROS, rolloff=ROLLOFF
    )
    return module


def _direct(wave: torch.Tensor, down: int, up: int) -> torch.Tensor:
    """The same filter, computed for every sample anew, [..., ceil(N up / down)]."""
    band = min(1.0, up / down) * ROLLOFF
    reach = math.ceil(ZEROS / band)
    length = math.ceil(wave.shape[-1] * up / down)
    # One more behind: the first tap of a sample is `reach` before the last sample not after it.
    padded = F.pad(wave, (reach, reach + 1))
    taps = torch.arange(-reach, reach + 1)
    out = wave.new_empty(*wave.shape[:-1], length)
    for start in range(0, length, _BLOCK):
        numbers = torch.arange(start, min(start + _BLOCK, length)) * down
        nearest, phase = numbers // up, (numbers % up).double() / up
        times = ((taps[None] - phase[:, None]) * band).clamp(-ZEROS, ZEROS)
        window = torch.cos(times * (math.pi / (2 * ZEROS))).square()
        weights = (torch.sinc(times) * window * band).float()
        values = padded[..., nearest[:, None] + (taps + reach)[None]]
        out[..., start : start + len(numbers)] = (values * weights).sum(-1)
    return out
