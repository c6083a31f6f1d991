"""Griffin-Lim: sound from magnitudes alone."""

from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings, filterbank
from seqvae.errors import UserError
from seqvae.vocoders.stft import FastStft, Stft
from seqvae.vocoders.vocoder import Vocoder

MAX_ITERATIONS = 1000
NNLS_STEPS = 60
TINY = 1e-16


@dataclass(frozen=True)
class GriffinLim:
    """Inverse of the mel filters, then Griffin-Lim. Needs no training."""

    iterations: int = 32
    """Rounds; 8 are nearly as good as 32."""
    momentum: float = 0.99
    """Of the fast variant; 0 is the original."""
    inverse: Literal["nnls", "pseudo"] = "nnls"
    """Of the mel filters: non-negative least squares, or the pseudo-inverse cut off at zero."""

    def __post_init__(self) -> None:
        """Refuse what does not converge or end."""
        check_iterations(self.iterations, self.momentum)

    def build(self, settings: MelSettings) -> "GriffinLimVocoder":
        """The module."""
        return GriffinLimVocoder(self, settings)


def check_iterations(iterations: int, momentum: float) -> None:
    """Raise a UserError unless these are settings of Griffin-Lim."""
    if not 0 <= iterations <= MAX_ITERATIONS:
        raise UserError(f"iterations must lie between 0 and {MAX_ITERATIONS}, got {iterations}")
    if not 0.0 <= momentum < 1.0:
        raise UserError(f"momentum must be at least 0 and below 1, got {momentum}")


class Transform(Protocol):
    """Of a sound to spectra, and back; axis 2 of spectra holds real parts, then imaginary ones."""

    def __call__(self, padded: Tensor, /) -> Tensor:
        """Spectra of a sound."""

    def inverse(self, spectra: Tensor, /) -> Tensor:
        """Sound of spectra."""


def griffin_lim(
    magnitude: Tensor, start: Tensor, transform: Transform, iterations: int, momentum: float
) -> Tensor:
    """Find a sound with these magnitudes.

    Fast Griffin-Lim, Perraudin, Balazs, Sondergaard, WASPAA 2013, with the momentum of
    `torchaudio.functional.griffinlim`.

    Args:
        magnitude: of the spectra, without their axis 2.
        start: spectra with these magnitudes and the phase to begin with.
        transform: as `Stft`.
        iterations: rounds; 0 gives the sound of `start`.
        momentum: in [0, 1).

    Returns:
        The sound, as `transform.inverse` gives it.
    """
    spectra, before = start, torch.zeros_like(start)
    for _ in range(iterations):
        spectra, before = griffin_lim_round(spectra, before, magnitude, transform, momentum)
    return transform.inverse(spectra)


def griffin_lim_round(
    spectra: Tensor, before: Tensor, magnitude: Tensor, transform: Transform, momentum: float
) -> tuple[Tensor, Tensor]:
    """The next `spectra` and `before` of `griffin_lim`; graphs loop over it."""
    rebuilt = transform(transform.inverse(spectra))
    moved = rebuilt - before * (momentum / (1.0 + momentum))
    norm = moved.square().sum(2).add(TINY).rsqrt()
    return moved * (magnitude * norm)[:, :, None], rebuilt


@final
class GriffinLimVocoder(Vocoder):
    """See `GriffinLim`."""

    filters: Tensor
    pseudo: Tensor

    def __init__(self, config: GriffinLim, settings: MelSettings) -> None:
        super().__init__()
        self.config, self.settings = config, settings
        self.stft: Stft = FastStft(settings)
        self.noise_width = settings.bins
        filters = torch.from_numpy(filterbank(settings)).double()
        self.register_buffer("filters", filters.float(), persistent=False)
        self.register_buffer("pseudo", torch.linalg.pinv(filters).float(), persistent=False)

    def forward(self, mel: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Vocoder.forward`; `noise` is where the phase begins, in turns."""
        magnitude = self.stft.arrange(self.magnitude(mel))
        start, config = self.stft.polar(magnitude, self.noise_of(mel, noise)), self.config
        padded = griffin_lim(magnitude, start, self.stft, config.iterations, config.momentum)
        return self.stft.trim(padded)

    def magnitude(self, mel: Tensor) -> Tensor:
        """Magnitudes [B, T, bins] with this log-mel [B, T, mels], nearly."""
        linear = mel.exp()
        magnitude = (linear @ self.pseudo.T).clamp_min(self.settings.floor)
        if self.config.inverse == "nnls":
            magnitude = nnls(linear, self.filters, magnitude, NNLS_STEPS)
        return magnitude


def nnls(mel: Tensor, filters: Tensor, start: Tensor, steps: int) -> Tensor:
    """Non-negative magnitudes whose mel is near `mel`, by multiplicative updates.

    Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 2000, with fixed filters.

    Args:
        mel: linear, [B, T, mels].
        filters: [mels, bins].
        start: positive magnitudes to begin with, [B, T, bins].
        steps: updates.

    Returns:
        Magnitudes [B, T, bins].
    """
    target = mel @ filters
    magnitude = start
    for _ in range(steps):
        made = (magnitude @ filters.T) @ filters
        magnitude = magnitude * (target / made.clamp_min(1e-12))
    return magnitude
