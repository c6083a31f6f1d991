"""How far two sayings of a sentence are apart: mel-cepstral distortion along the best alignment, in dB.

Power spectrum of 25 ms Hann windows every 10 ms, 40 mel bands up to 8 kHz, natural log, cosine transform; coefficients
1 to 13 (0, the loudness, does not count). The cost of two frames is Kubichek's 10 / ln 10 * sqrt(2 * sum of squared
differences) ("Mel-cepstral distance measure", 1993); the value is its mean over the path of dynamic time warping.
Silences count. Needs numpy alone.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from seqvae.evaluation.referees.sound import RATE, Samples

NEEDS: tuple[str, ...] = ()
WINDOW, HOP, SIZE = 400, 160, 512
BANDS, COEFFICIENTS = 40, 13
FLOOR = 1e-10
# 60 s against 60 s; the cost matrix grows with the product.
MOST_FRAMES = 6000
Path = np.ndarray[tuple[int, int], np.dtype[np.int64]]


def judge(sound: Samples, reference: Samples) -> dict[str, Any]:
    """`mcd`, dB."""
    return {"mcd": align(cepstrum(sound), cepstrum(reference))[0]}


def cepstrum(sound: Samples) -> np.ndarray:
    """16 kHz samples [N] -> mel cepstra [1 + N // 160, 13].

    Raises:
        ValueError: longer than 60 s.
    """
    frames = 1 + len(sound) // HOP
    if frames > MOST_FRAMES:
        raise ValueError(f"{len(sound) / RATE:.0f} s is too long to align; the most is 60 s")
    padded = np.pad(sound.astype(np.float64), (WINDOW // 2, WINDOW))
    at = HOP * np.arange(frames)[:, None] + np.arange(WINDOW)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(padded[at] * window, SIZE)) ** 2
    logs = np.log(np.maximum(power @ _bands().T, FLOOR))
    return np.asarray(logs @ _cosines().T)


def align(a: np.ndarray, b: np.ndarray) -> tuple[float, Path]:
    """Best alignment of two mel cepstra [N, 13] and [M, 13].

    Returns:
        The mean cost over the path in dB, and the path: [P, 2] frame numbers in `a` and `b`.
    """
    cost = _costs(a, b)
    n, m = cost.shape
    # total[i, j] and step[i, j] lie on anti-diagonals d = i + j, so that a whole diagonal is one operation.
    step = np.zeros((n, m), np.int8)
    before = np.full(n + 1, np.inf)  # totals of diagonal d - 2, at 1 + i
    last = np.full(n + 1, np.inf)  # of diagonal d - 1
    for d in range(n + m - 1):
        i = np.arange(max(0, d - m + 1), min(n, d + 1))
        # Both frames move on, only a's does, only b's does; ties go to the first.
        options = np.stack([before[i], last[i], last[i + 1]])
        if d == 0:
            options[0] = 0.0
        best = options.argmin(axis=0)
        step[i, d - i] = best
        here = np.full(n + 1, np.inf)
        here[i + 1] = cost[i, d - i] + options[best, np.arange(len(i))]
        before, last = last, here
    path = _trace(step)
    return float(cost[path[:, 0], path[:, 1]].mean()), path


def _costs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(10 / np.log(10) * np.sqrt(2 * np.maximum(square, 0)))


def _trace(step: np.ndarray) -> Path:
    i, j = step.shape[0] - 1, step.shape[1] - 1
    path = [(i, j)]
    while i or j:
        move = step[i, j]
        i, j = i - (move != 2), j - (move != 1)
        path.append((i, j))
    return np.asarray(path[::-1])


@lru_cache(maxsize=1)
def _bands() -> np.ndarray:
    """Triangles of height 1, evenly spaced on the mel scale 2595 log10(1 + f / 700): [40, 257]."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.linspace(0, RATE / 2, SIZE // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.asarray(np.maximum(0, np.minimum(rise, fall)))


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """Log band energies -> c of log S = c_0 + 2 * sum over k of c_k cos: [13, 40]."""
    order = np.arange(1, COEFFICIENTS + 1)[:, None]
    return np.asarray(np.cos(np.pi * order * (np.arange(BANDS) + 0.5) / BANDS) / BANDS)
