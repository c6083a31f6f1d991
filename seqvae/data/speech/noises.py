"""Noises to mix into speech, each at a root mean square of 1."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seqvae.data.speech.audio import SUFFIXES, mono, open_audio
from seqvae.data.speech.energy import Floats
from seqvae.errors import UserError

if TYPE_CHECKING:
    from seqvae.data.speech.store import SpeechStore

Generator = np.random.Generator
Maker = Callable[[int, int, Generator], Floats]
"""Noise of so many samples at so many Hz."""

# Recorded noise that is kept in memory: 10 minutes, 38 MB at 16 kHz.
_RECORDED_SECONDS = 600.0
_SHORTEST_SECONDS = 0.1
_MOST_FILES = 10_000
# Knots of a random spectrum an octave, and how far they lie apart, decibels.
_KNOTS, _SPREAD = 1.5, 9.0
_LOWEST = 40.0
# Points of a period of hum.
_PERIOD = 4096


def white(samples: int, rate: int, generator: Generator) -> Floats:
    """The same power at every frequency."""
    return unit(generator.standard_normal(samples, np.float32))


def pink(samples: int, rate: int, generator: Generator) -> Floats:
    """Power that falls with frequency, 3 dB an octave."""
    return _filtered(samples, rate, generator, lambda octaves: -3.01 * octaves)


def shaped(samples: int, rate: int, generator: Generator) -> Floats:
    """Noise of a random smooth spectrum whose loudness rises and falls: traffic, wind, machines."""

    def spectrum(octaves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        knots = np.linspace(0.0, max(1.0, octaves[-1]), 2 + int(_KNOTS * octaves[-1]))
        slope = generator.uniform(-6.0, 1.0)
        level = slope * knots + _SPREAD * generator.standard_normal(len(knots))
        return np.interp(octaves, knots, level)

    noise = _filtered(samples, rate, generator, spectrum)
    times = np.arange(samples, dtype=np.float32) / rate
    speed, phase, depth = generator.uniform((0.3, 0.0, 0.0), (4.0, 2 * np.pi, 0.9))
    return unit(noise * (1.0 + depth * np.sin(2 * np.pi * speed * times + phase)))


def hum(samples: int, rate: int, generator: Generator) -> Floats:
    """The mains: 50 or 60 Hz and their multiples up to 1 kHz."""
    base = generator.choice([50.0, 60.0]) * generator.uniform(0.995, 1.005)
    orders = np.arange(1, int(min(1000.0, rate / 2) / base) + 1)
    strength = generator.random(len(orders)) / orders ** generator.uniform(0.3, 1.5)
    phase = generator.uniform(0.0, 2 * np.pi, len(orders))
    # One period is summed, and read on at the base's pace: 20 times as fast as a sine for each sample of
    # each multiple. Between two of its points the highest multiple is wrong by 1e-4 at most, -80 dB.
    spectrum = np.zeros(_PERIOD // 2 + 1, np.complex128)
    spectrum[orders] = strength * np.exp(1j * phase)
    wave = np.fft.irfft(spectrum, _PERIOD) * _PERIOD
    place = np.arange(samples) * (base / rate * _PERIOD) % _PERIOD
    return unit(
        np.interp(place, np.arange(_PERIOD + 1), np.append(wave, wave[0])).astype(np.float32)
    )


def babble(store: "SpeechStore", samples: int, leave_out: int, generator: Generator) -> Floats:
    """Three to six other recordings at once, equally loud.

    Args:
        store: recordings to take.
        samples: how many.
        leave_out: the recording that is spoken over.
        generator: of the choice.
    """
    hop = store.settings.hop
    frames = -(-samples // hop)
    total = np.zeros(frames * hop, np.float32)
    for _ in range(generator.integers(3, 7)):
        index = int(generator.integers(len(store)))
        if index == leave_out:
            index = (index + 1) % len(store)
        length = int(store.frames[index])
        start = int(generator.integers(max(1, length - frames + 1)))
        voice = store.audio(index, start, frames)
        if len(voice):
            total += unit(np.resize(voice, len(total)))
    return unit(total[:samples])


class Recorded:
    """Stretches of recorded noise.

    Args:
        folder: of sound files; of many, some of each is kept.
        rate: Hz.

    Raises:
        UserError: there is no sound file, or one cannot be read.
    """

    def __init__(self, folder: str, rate: int) -> None:
        paths = _sounds(Path(folder))
        each = max(1.0, _RECORDED_SECONDS / len(paths))
        # Evenly over the folder where there are more than fit.
        every = max(1, round(len(paths) * each / _RECORDED_SECONDS))
        read = (_read(path, rate, each) for path in paths[::every])
        self.stretches = [x for x in read if len(x) >= _SHORTEST_SECONDS * rate and x.any()]
        if not self.stretches:
            raise UserError(f"noise recordings {folder}: nothing but silence in its files")

    def __call__(self, samples: int, rate: int, generator: Generator) -> Floats:
        """A part of one of them, repeated where it is too short."""
        stretch = self.stretches[int(generator.integers(len(self.stretches)))]
        start = int(generator.integers(max(1, len(stretch) - samples + 1)))
        part = stretch[start : start + samples]
        return unit(np.resize(part if part.any() else stretch, samples))


def unit(samples: Floats) -> Floats:
    """The same at a root mean square of 1; silence stays silent."""
    level = float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))
    return (samples / max(level, 1e-9)).astype(np.float32)


def _filtered(
    samples: int,
    rate: int,
    generator: Generator,
    decibels: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Floats:
    """White noise with a spectrum given in decibels over octaves above 40 Hz, and nothing below."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    octaves = np.log2(np.maximum(frequencies, _LOWEST) / _LOWEST)
    gains = np.where(frequencies < _LOWEST, 0.0, 10.0 ** (decibels(octaves) / 20.0))
    return unit(np.fft.irfft(spectrum * gains, samples).astype(np.float32))


def _sounds(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"noise recordings {folder}: not a folder; name one with sound files")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"noise recordings {folder}: no sound file in it")
    return paths[:_MOST_FILES]


def _read(path: Path, rate: int, seconds: float) -> Floats:
    """The beginning of a file."""
    from seqvae.nn.resample import resample

    with open_audio(path) as file:
        whole = file.frames <= seconds * file.rate
        blocks = [mono(block) for block in file.blocks(0.0, None if whole else seconds)]
        samples = np.concatenate([np.zeros(0, np.float32), *blocks])
        return samples if file.rate == rate else resample(samples, file.rate, rate)
