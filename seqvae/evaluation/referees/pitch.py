"""How high it is spoken: fundamental frequency every 10 ms between 60 and 500 Hz.

By WORLD's DIO and StoneMask where pyworld is installed, else by the project's own tracker. On ARCTIC the two differ
by 0.02 in a recording's mean ln F0 and by more than a fifth in 0.3 % of the frames that both call voiced.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.pitch import PitchSettings, track_pitch
from seqvae.evaluation.referees.distance import HOP, align, cepstrum
from seqvae.evaluation.referees.sound import RATE, Samples

NEEDS: tuple[str, ...] = ()
LOWEST, HIGHEST = 60.0, 500.0
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
        semitone), `f0_tracker` ("world" or "own"); with a reference also `f0_rmse` in Hz and `f0_rmse_semitones` over the frames that
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
    tracker = "world" if _has_world() else "own"
    found: dict[str, Any] = {"log_f0_bias": bias, "log_f0_error": abs(bias), "f0_tracker": tracker}
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
    """16 kHz samples -> Hz [about N / 160], 0 where unvoiced."""
    if not _has_world():
        return track_pitch(sound, MelSettings(hop=HOP), PitchSettings(low=LOWEST, high=HIGHEST))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld asks setuptools for its version
        import pyworld

    wave = np.ascontiguousarray(sound, np.float64)
    every = 1000 * HOP / RATE
    rough, times = pyworld.dio(wave, RATE, LOWEST, HIGHEST, frame_period=every)
    return np.asarray(pyworld.stonemask(wave, rough, times, RATE))


def _has_world() -> bool:
    return importlib.util.find_spec("pyworld") is not None


def mean_log(hertz: np.ndarray) -> float:
    """Mean ln F0 of the voiced frames.

    Raises:
        ValueError: there are hardly any.
    """
    voiced = hertz[hertz > 0]
    if len(voiced) < FEWEST:
        raise ValueError(f"{len(voiced)} voiced frames are too few for a pitch")
    return float(np.log(voiced).mean())
