"""Noise mixed into crops of speech, for models that learn to take it off."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqvae.data.speech import noises
from seqvae.data.speech.energy import STEP, Floats, energy_of
from seqvae.data.speech.loudness import LOUDNESS, gain_of, scaled
from seqvae.errors import UserError

if TYPE_CHECKING:
    from seqvae.data.speech.store import SpeechStore


@dataclass(frozen=True)
class NoiseMix:
    """Noise in what the encoders read, while the decoder writes clean frames: trains a denoiser."""

    probability: float = 0.0
    """Part of the crops that get noise; 0: off. A denoiser wants 0.8."""
    snr: tuple[float, float] = (-5.0, 20.0)
    """Least and greatest ratio of speech to noise, decibels; drawn uniformly."""
    white: bool = True
    """Hiss, the same power at every frequency."""
    pink: bool = True
    """Noise whose power falls by 3 dB an octave."""
    shaped: bool = True
    """Noise of a random spectrum, rising and falling: traffic, wind, machines."""
    hum: bool = True
    """The mains, 50 or 60 Hz and multiples."""
    babble: bool = True
    """Several other recordings of the corpus at once."""
    recordings: str = ""
    """Folder with recorded noise to take as well, as often as all other kinds together."""

    def __post_init__(self) -> None:
        """Refuse what is no probability, no range, or no noise."""
        if not 0.0 <= self.probability <= 1.0:
            raise UserError(f"noise probability: {self.probability} is not from 0 to 1")
        low, high = self.snr
        if not -60.0 <= low <= high <= 100.0:
            raise UserError(f"noise snr: {low:g} to {high:g} dB is no range between -60 and 100")
        kinds = (self.white, self.pink, self.shaped, self.hum, self.babble, self.recordings)
        if self.is_active and not any(kinds):
            raise UserError("noise: probability is above 0, but no kind of noise is left on")

    @property
    def is_active(self) -> bool:
        """Whether anything is mixed at all."""
        return self.probability > 0.0


class Mixer:
    """Mixes noise into crops of the recordings of a split.

    Args:
        config: what to mix.
        store: the recordings.

    Raises:
        UserError: the recorded noise cannot be read.
    """

    def __init__(self, config: NoiseMix, store: "SpeechStore") -> None:
        self.config, self.store = config, store
        self.rate = store.settings.sample_rate
        names = ("white", "pink", "shaped", "hum")
        self._made: list[noises.Maker] = [
            getattr(noises, name) for name in names if getattr(config, name)
        ]
        self._recorded: noises.Recorded | None = None
        if config.is_active and config.recordings:
            self._recorded = noises.Recorded(config.recordings, self.rate)

    def mix(self, clean: Floats, index: int, generator: np.random.Generator) -> Floats:
        """A crop with noise, at the loudness that recordings are read at.

        Args:
            clean: samples [N] of a recording of the store.
            index: which recording.
            generator: of kind, noise and ratio; the same state gives the same mixture.
        """
        ratio = generator.uniform(*self.config.snr)
        mixture = mixed(clean, self.noise(len(clean), index, generator), ratio, self.rate)
        return scaled(mixture, gain_of(energy_of(mixture, self.rate)))

    def noise(self, samples: int, index: int, generator: np.random.Generator) -> Floats:
        """Noise of a random kind for the recording `index`, [samples], root mean square 1."""
        kinds = len(self._made) + self.config.babble
        if self._recorded is not None and (not kinds or generator.random() < 0.5):
            return self._recorded(samples, self.rate, generator)
        kind = int(generator.integers(kinds))
        if kind < len(self._made):
            return self._made[kind](samples, self.rate, generator)
        return noises.babble(self.store, samples, index, generator)


def mixed(clean: Floats, noise: Floats, ratio: float, rate: int) -> Floats:
    """Speech and noise at a ratio of their powers, exact over the part where somebody speaks.

    Args:
        clean: samples [N]; the noise is heard against the usual loudness where nobody speaks.
        noise: samples [N].
        ratio: decibels.
        rate: Hz.
    """
    spoken = _spoken(clean, rate)
    if spoken.any():
        speech, disturbance = clean[spoken], noise[spoken]
    else:
        speech, disturbance = np.full(1, LOUDNESS, np.float32), noise
    wanted = _power(speech) / 10.0 ** (ratio / 10.0)
    gain = np.sqrt(wanted / max(_power(disturbance), 1e-20))
    return clean + np.float32(gain) * noise


def _spoken(samples: Floats, rate: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples are spoken, [N]; none in a pause."""
    energy = energy_of(samples, rate)
    # Far below the usual loudness there is nothing but breath and room.
    if energy.loudness() < LOUDNESS / 4:
        return np.zeros(len(samples), np.bool_)
    moments = energy.speech()
    # Each moment sees two steps.
    steps = np.append(moments, False) | np.append(False, moments)
    flags = np.repeat(steps, max(1, round(rate * STEP)))[: len(samples)]
    return np.pad(flags, (0, len(samples) - len(flags)))


def _power(samples: Floats) -> float:
    return float(np.mean(np.square(samples), dtype=np.float64))
