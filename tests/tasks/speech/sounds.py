"""Made-up speech: pulse trains and noise through resonances that move."""

import numpy as np
import numpy.typing as npt

from seqvae.data.speech.audio import Sound

RATE = 16_000
Samples = npt.NDArray[np.float32]


def babble(seconds: float, pitch: float = 120.0, rate: int = RATE, seed: int = 0) -> Samples:
    """Vowels of 0.2 s with pauses now and then; `pitch` in Hz makes the voice."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    out = np.zeros(count)
    vowel = round(0.2 * rate)
    for begin in range(0, count, vowel):
        part = time[begin : begin + vowel]
        if rng.random() < 0.15:
            continue
        tone = np.zeros(len(part))
        formants = rng.uniform([300, 900, 2200], [800, 2000, 3000])
        for harmonic in np.arange(pitch, min(4000.0, rate / 2), pitch):
            gain = sum(np.exp(-(((harmonic - f) / 150.0) ** 2)) for f in formants) + 0.02
            tone += gain * np.sin(2 * np.pi * harmonic * part + rng.uniform(0, 6.3))
        out[begin : begin + vowel] = tone * np.hanning(len(part))
    out += 1e-3 * rng.normal(size=count)
    return np.asarray(0.3 * out / np.abs(out).max(), np.float32)


def speech(seconds: float, pitch: float = 120.0, rate: int = RATE, seed: int = 0) -> Sound:
    """`babble` as a sound."""
    return Sound(babble(seconds, pitch, rate, seed), rate)
