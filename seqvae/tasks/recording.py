"""A recording of any length, at the rate and loudness that a model reads, a block at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seqvae.data.speech.audio import BadSound, Sound, mono, open_audio
from seqvae.data.speech.energy import EnergyMeter
from seqvae.data.speech.loudness import gain_of, scaled
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.tasks.chunks import Array
from seqvae.tasks.resampled import Resample, resampled

SHORTEST = 0.1
"""Seconds below which there is nothing to tell a voice or a word from."""
KEPT = 60.0
"""Seconds that stay in memory, so that a short file is read once."""


class TooLong(UserError):
    """A sound that lasts longer than it may."""


class Recording:
    """A sound that is read twice: for its length and loudness first, then for what is in it.

    Memory does not grow with its length. Blocks have the model's rate and are scaled to the loudness
    that it was trained on; dividing by `gain` gives the source's own loudness back.

    Args:
        source: sound file, its content, or samples.
        settings: mel settings of the model.
        longest: seconds it may last; None: any number. No more than that is read.
        resample: see `seqvae.tasks.resampled`; one without torch makes this class do without.

    Attributes:
        name: for messages.
        settings: as given.
        length: samples at the model's rate.
        gain: factor of the loudness.
        silent: whether there is no sound in it.

    Raises:
        UserError: not a sound file, damaged, a sample that is no number, or shorter than `SHORTEST`.
        TooLong: more than `longest` seconds.
    """

    def __init__(
        self,
        source: str | Path | Sound | bytes,
        settings: MelSettings,
        *,
        longest: float | None = None,
        resample: Resample | None = None,
    ) -> None:
        self.settings, self._resample = settings, resample
        self._source = Path(source) if isinstance(source, str) else source
        self.name = str(source) if isinstance(source, str | Path) else "the sound"
        kept: list[Array] | None = []
        self.length = 0
        meter = EnergyMeter(settings.sample_rate)
        for block in self._plain():
            self.length += len(block)
            if longest is not None and self.length > longest * settings.sample_rate:
                raise TooLong(f"{self.name} lasts more than {longest:g} s; cut it into pieces")
            meter.update(block)
            if kept is not None:
                kept.append(block)
                kept = kept if self.length <= KEPT * settings.sample_rate else None
        self._kept = kept
        if self.length < SHORTEST * settings.sample_rate:
            raise UserError(
                f"{self.name} is {1000 * self.length / settings.sample_rate:.0f} ms long; "
                f"{1000 * SHORTEST:.0f} ms are needed"
            )
        energy = meter.finish()
        self.gain, self.silent = gain_of(energy), energy.silent

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.length / self.settings.sample_rate

    def blocks(self) -> Iterator[Array]:
        """Its samples at the model's rate and loudness, shape [n] each."""
        for block in self._plain() if self._kept is None else self._kept:
            yield scaled(block, self.gain)

    def stretches(self, cuts: Sequence[tuple[int, int]]) -> Iterator[Array]:
        """Samples from `first` to `last` for each (first, last), which must not go back.

        Past the end there is silence.
        """
        held: Array = np.zeros(0, np.float32)
        begin = 0
        blocks = self.blocks()
        for first, last in cuts:
            held, begin = held[first - begin :], first
            pieces: list[Array] = [held]
            have = len(held)
            while have < last - first and (block := next(blocks, None)) is not None:
                pieces.append(block)
                have += len(block)
            held = np.concatenate(pieces)
            yield np.pad(held[: last - first], (0, max(last - first - have, 0)))

    def _plain(self) -> Iterator[Array]:
        """Blocks at the model's rate as loud as they are."""
        wanted = self.settings.sample_rate
        source = self._source
        if not isinstance(source, Sound):
            with open_audio(source, self.name) as file:
                yield from resampled(map(mono, file.blocks()), file.rate, wanted, self._resample)
            return
        if not np.isfinite(source.samples).all():
            raise BadSound(self.name, "values that are no numbers", "NaN or infinity")
        yield from resampled([source.samples], source.rate, wanted, self._resample)


SoundLike = str | Path | Sound | Recording
"""A sound file, samples, or what was made of them."""
