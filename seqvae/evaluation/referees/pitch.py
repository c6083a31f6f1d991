"""How high it is spoken: fundamental frequency by WORLD's DIO and StoneMask, every 10 ms between 60 and 500 Hz."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqvae.evaluation.referees.distance import align, cepstrum
from seqvae.evaluation.referees.sound import RATE, Samples

NEEDS = ("pyworld",)
LOWEST, HIGHEST = 60.0, 500.0
FRAME_MS = 10.0
# Fewer voiced frames than this are chance.
FEWEST = 10
SEMITONES = 12 / np.log(2)


def judge(sound: Samples, reference: Samples | None, voice: Sequence[Samples]) -> dict[str, Any]:
    """Errors of the pitch.

    Args:
        sound: what is judged.
        reference: the target's own recording of the sentence, if there is one.
        voice: recordings of the target, used for the mean pitch where there is no reference.

    Returns:
        `log_f0_bias` (mean ln F0 less the target's), `log_f0_error` (its absolute value; 0.0578 is a semitone); with
        a reference also `f0_rmse` in Hz and `f0_rmse_semitones` over the frames that are voiced in both, along the
        alignment of `distance`.

    Raises:
        ValueError: hardly anything is voiced.
    """
    ours = f0(sound)
    if reference is None:
        wanted = float(np.mean([_mean_log(f0(s)) for s in voice]))
    else:
        theirs = f0(reference)
        wanted = _mean_log(theirs)
    bias = _mean_log(ours) - wanted
    found = {"log_f0_bias": bias, "log_f0_error": abs(bias)}
    if reference is not None:
        path = align(cepstrum(sound), cepstrum(reference))[1]
        i = np.minimum(path[:, 0], len(ours) - 1)
        j = np.minimum(path[:, 1], len(theirs) - 1)
        a, b = ours[i], theirs[j]
        both = (a > 0) & (b > 0)
        if both.sum() >= FEWEST:
            a, b = a[both], b[both]
            found["f0_rmse"] = float(np.sqrt(np.mean((a - b) ** 2)))
            found["f0_rmse_semitones"] = float(SEMITONES * np.sqrt(np.mean(np.log(a / b) ** 2)))
    return found


def f0(sound: Samples) -> np.ndarray:
    """16 kHz samples -> Hz [1 + N // 160], 0 where unvoiced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld asks setuptools for its version
        import pyworld

    wave = np.ascontiguousarray(sound, np.float64)
    rough, times = pyworld.dio(wave, RATE, LOWEST, HIGHEST, frame_period=FRAME_MS)
    return np.asarray(pyworld.stonemask(wave, rough, times, RATE))


def _mean_log(hertz: np.ndarray) -> float:
    voiced = hertz[hertz > 0]
    if len(voiced) < FEWEST:
        raise ValueError(f"{len(voiced)} voiced frames are too few for a pitch")
    return float(np.log(voiced).mean())
