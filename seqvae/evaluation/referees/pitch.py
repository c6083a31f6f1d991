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


def judge(sound: Samples, reference: Samples | None, usual: float | None) -> dict[str, Any]:
    """Errors of the pitch.

    Args:
        sound: what is judged.
        reference: the target's own recording of the sentence, if there is one.
        usual: the target's mean ln F0, used where there is no reference.

    Returns:
        `log_f0_bias` (mean ln F0 less the target's), `log_f0_error` (its absolute value; 0.0578 is a
        semitone); with a reference also `f0_rmse` in Hz and `f0_rmse_semitones` over the frames that
        are voiced in both, along the alignment of `distance`.

    Raises:
        ValueError: hardly anything is voiced, or neither a reference nor a usual pitch is known.
    """
    ours = f0(sound)
    theirs = None if reference is None else f0(reference)
    wanted = usual if theirs is None else mean_log(theirs)
    if wanted is None:
        raise ValueError("no pitch to compare with")
    bias = mean_log(ours) - wanted
    found = {"log_f0_bias": bias, "log_f0_error": abs(bias)}
    if reference is not None and theirs is not None:
        path = align(cepstrum(sound), cepstrum(reference))[1]
        a = ours[np.minimum(path[:, 0], len(ours) - 1)]
        b = theirs[np.minimum(path[:, 1], len(theirs) - 1)]
        both = (a > 0) & (b > 0)
        if both.sum() >= FEWEST:
            a, b = a[both], b[both]
            found["f0_rmse"] = float(np.sqrt(np.mean((a - b) ** 2)))
            found["f0_rmse_semitones"] = float(SEMITONES * np.sqrt(np.mean(np.log(a / b) ** 2)))
    return found


def usual(voice: Sequence[Samples]) -> float:
    """Mean ln F0 of a voice's recordings, each counting alike."""
    return float(np.mean([mean_log(f0(sound)) for sound in voice]))


def f0(sound: Samples) -> np.ndarray:
    """16 kHz samples -> Hz [1 + N // 160], 0 where unvoiced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld asks setuptools for its version
        import pyworld

    wave = np.ascontiguousarray(sound, np.float64)
    rough, times = pyworld.dio(wave, RATE, LOWEST, HIGHEST, frame_period=FRAME_MS)
    return np.asarray(pyworld.stonemask(wave, rough, times, RATE))


def mean_log(hertz: np.ndarray) -> float:
    """Mean ln F0 of the voiced frames.

    Raises:
        ValueError: there are hardly any.
    """
    voiced = hertz[hertz > 0]
    if len(voiced) < FEWEST:
        raise ValueError(f"{len(voiced)} voiced frames are too few for a pitch")
    return float(np.log(voiced).mean())
