"""Where in a recording somebody speaks: power every 10 ms, read block by block, against the noise around it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

STEP = 0.01
"""Seconds from one measurement to the next; each sees twice as much."""

# Hum of the mains and rumble lie below, Hz; in some recordings they hold ten times the power of the voice.
_LOWEST = 150.0
SILENT, DEEPEST, FLAT = -70.0, -60.0, 12.0
"""Decibels: how quiet the loudest tenths of a second of a recording with nothing in it are, how far below
them pauses are believed to be, and below which range pauses cannot be told from speech."""
MARGIN, SHARE = 6.0, 0.3
"""Decibels above the noise, and share of the range between noise and speech, at which speech begins."""
TINY = 1e-14
"""Power that counts as none."""


@dataclass(frozen=True, eq=False)
class Energy:
    """Power of a recording every `STEP` seconds.

    Attributes:
        power: mean square around each moment of what lies above 150 Hz, [n].
    """

    power: Floats

    def __len__(self) -> int:
        return len(self.power)

    @property
    def top(self) -> float:
        """Decibels, relative to full scale, that speech reaches: exceeded 1 % of the time, from 0.2 to 5 s."""
        if not len(self):
            return -math.inf
        rank = min(max(len(self) // 100, min(20, len(self) // 4)), 500)
        return float(_decibels(np.partition(self.power, len(self) - 1 - rank)[-1 - rank]))

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return self.top < SILENT

    def speech(self) -> Flags:
        """Which moments are louder than the pauses, [n]; all of them where there are no pauses."""
        if self.silent:
            return np.zeros(len(self), np.bool_)
        decibels = _decibels(self.power)
        top = self.top
        noise = max(float(np.percentile(decibels, 5.0)), top + DEEPEST)
        if top - noise < FLAT:
            return np.ones(len(self), np.bool_)
        flags: Flags = decibels > noise + max(MARGIN, SHARE * (top - noise))
        return flags

    def loudness(self) -> float:
        """Root mean square, above 150 Hz, of where somebody speaks; 0 where nobody does."""
        speech = self.speech()
        return math.sqrt(float(self.power[speech].mean(dtype=np.float64))) if speech.any() else 0.0


class EnergyMeter:
    """Measures a recording that comes in blocks.

    Args:
        rate: samples per second, Hz.

    Attributes:
        step: samples from one measurement to the next.
        window: of a measurement, its squares sum to 1, float32 [2 * step].
        first: lowest Fourier bin of a measurement that counts.
    """

    def __init__(self, rate: int) -> None:
        self.step = max(1, round(rate * STEP))
        size = 2 * self.step
        window = np.hanning(size + 1)[:size]
        self.window = (window / math.sqrt(float((window**2).sum()))).astype(np.float32)
        self.first = min(math.ceil(_LOWEST * size / rate), self.step)
        self._rest: Floats = np.zeros(0, np.float32)
        self._parts: list[Floats] = []

    def update(self, samples: Floats) -> None:
        """Take in the next samples, float32 [n]."""
        samples = np.concatenate([self._rest, samples])
        count = max(0, len(samples) // self.step - 1)
        if count:
            self._parts.append(self._measure(samples[: (count + 1) * self.step]))
        self._rest = samples[count * self.step :]

    def finish(self) -> Energy:
        """What was measured; the last moment is filled up with silence."""
        if len(self._rest) and (len(self._rest) > self.step or not self._parts):
            self._parts.append(
                self._measure(np.pad(self._rest, (0, 2 * self.step - len(self._rest))))
            )
        return Energy(np.concatenate([np.zeros(0, np.float32), *self._parts]))

    def _measure(self, samples: Floats) -> Floats:
        hops = samples.reshape(-1, self.step)
        frames = np.concatenate([hops[:-1], hops[1:]], axis=1)
        spectrum = np.fft.rfft(frames * self.window, axis=1)[:, self.first :]
        power = spectrum.real**2 + spectrum.imag**2
        # Two halves of a spectrum, of which one is kept; Parseval's division is in the window's scale.
        mean_square: Floats = (2.0 * power.sum(axis=1) / frames.shape[1]).astype(np.float32)
        return mean_square


def energy_of(samples: Floats, rate: int) -> Energy:
    """Power of a whole recording, float32 [N] at `rate` Hz."""
    meter = EnergyMeter(rate)
    meter.update(samples)
    return meter.finish()


def _decibels(power: Any) -> Any:  # noqa: ANN401 (a number or an array)
    return 10.0 * np.log10(np.maximum(power, TINY))
