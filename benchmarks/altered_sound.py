"""Speech altered so that a detector should notice: what happens to recordings by accident or by intent."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.speech_denoise import mix
from seqvae.data.speech.audio import Sound

Floats = np.ndarray[Any, np.dtype[np.float32]]

BABBLE_DB, TONE_DB, TONE_HZ = 10.0, 20.0, 1000.0
CLIPPED = 0.1
"""Of the peak: what is louder is cut off."""
RATE = 1.25
"""Factor of the sample rate in a header that is wrong."""
SEMITONES = 4.0
SPLICE = 0.4
"""Seconds of another voice put into the middle."""
TALKERS = 6
_SIZE, _HOP = 1024, 256


def reversed_(samples: Floats) -> Floats:
    """Played backwards: every spectrum is as it was, their order is not."""
    return samples[::-1].copy()


def clipped(samples: Floats) -> Floats:
    """Recorded too loud."""
    peak = CLIPPED * float(np.abs(samples).max())
    return np.clip(samples, -peak, peak)


def tone(samples: Floats, rate: int) -> Floats:
    """A hum or a beep of 1 kHz all the time."""
    pure = np.sqrt(2) * np.sin(2 * np.pi * TONE_HZ * np.arange(len(samples)) / rate)
    return mix(samples, pure.astype(np.float32), TONE_DB)


def babble(samples: Floats, talkers: Sequence[Floats], generator: np.random.Generator) -> Floats:
    """Six others who speak at the same time."""
    voices = np.zeros(len(samples))
    for number in generator.choice(len(talkers), min(TALKERS, len(talkers)), replace=False):
        voice = np.resize(talkers[number], len(samples) + len(talkers[number]))
        start = int(generator.integers(len(talkers[number])))
        voices += voice[start : start + len(samples)]
    noise = voices / np.sqrt(np.mean(voices**2) + 1e-12)
    return mix(samples, noise.astype(np.float32), BABBLE_DB)


def spliced(samples: Floats, other: Floats, rate: int) -> Floats:
    """A piece in the middle from the middle of another recording."""
    size = min(round(SPLICE * rate), len(samples) // 2, len(other))
    start, source = (len(samples) - size) // 2, (len(other) - size) // 2
    made = samples.copy()
    made[start : start + size] = other[source : source + size]
    return made


def stretched(samples: Floats, factor: float) -> Floats:
    """As long as `factor` says at the same pitch, by a phase vocoder (Flanagan and Golden 1966)."""
    window = np.hanning(_SIZE + 1)[:-1]
    padded = np.pad(samples, (_SIZE, 2 * _SIZE))
    frames = 1 + (len(padded) - _SIZE) // _HOP
    spectra = np.stack(
        [np.fft.rfft(window * padded[i * _HOP : i * _HOP + _SIZE]) for i in range(frames)]
    )
    advance = 2 * np.pi * _HOP * np.arange(_SIZE // 2 + 1) / _SIZE
    phase = np.angle(spectra[0])
    length = int(len(padded) * factor)
    made, weight = np.zeros(length + _SIZE), np.full(length + _SIZE, 1e-3)
    for number, place in enumerate(np.arange(0.0, frames - 1, 1.0 / factor)):
        at, part = int(place), place % 1.0
        loudness = (1 - part) * np.abs(spectra[at]) + part * np.abs(spectra[at + 1])
        begin = number * _HOP
        if begin + _SIZE > len(made):
            break
        piece = np.fft.irfft(loudness * np.exp(1j * phase), _SIZE)
        made[begin : begin + _SIZE] += window * piece
        weight[begin : begin + _SIZE] += window**2
        turned = np.angle(spectra[at + 1]) - np.angle(spectra[at]) - advance
        phase += advance + turned - 2 * np.pi * np.round(turned / (2 * np.pi))
    found = (made / weight)[int(_SIZE * factor) : int((_SIZE + len(samples)) * factor)]
    return found.astype(np.float32)


def alterations(
    rate: int, talkers: Sequence[Floats]
) -> dict[str, Callable[[Floats, Floats, int], Sound]]:
    """Ways to alter samples, given another voice's recording and a seed.

    Args:
        rate: of all samples, Hz.
        talkers: recordings that a babble is made of.
    """
    up = 2.0 ** (SEMITONES / 12)
    wrong = round(rate * RATE)
    return {
        "reversed": lambda samples, _other, _seed: Sound(reversed_(samples), rate),
        "clipped": lambda samples, _other, _seed: Sound(clipped(samples), rate),
        "babble": lambda samples, _other, seed: Sound(
            babble(samples, talkers, np.random.default_rng(seed)), rate
        ),
        "tone": lambda samples, _other, _seed: Sound(tone(samples, rate), rate),
        "spliced": lambda samples, other, _seed: Sound(spliced(samples, other, rate), rate),
        "wrong rate": lambda samples, _other, _seed: Sound(samples, wrong),
        # Longer at the same pitch, then played faster.
        "pitch up": lambda samples, _other, _seed: Sound(stretched(samples, up), round(rate * up)),
    }
