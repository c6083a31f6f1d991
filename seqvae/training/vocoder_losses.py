"""What is wrong with a vocoder's sound, and with its magnitudes."""

import math

import torch
from torch import Tensor, nn

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.nn.mel import MelSpectrogram

QUIET = 1e-4
"""Magnitudes below this, at the mel's own window, are as good as silence."""
LINEAR_WEIGHT = 0.5
"""Of the linear error of magnitudes beside that of their logarithms."""


class SoundLoss(nn.Module):
    """Distance of spectra at several resolutions and of log-mel frames; the phase is free.

    Multi-resolution STFT loss: Yamamoto, Song, Kim 2020, arXiv 1910.11480, with the linear part a mean of
    absolute differences. Short windows see pulses, long ones harmonics.

    Args:
        settings: of the frames.
    """

    def __init__(self, settings: MelSettings) -> None:
        super().__init__()
        self.sizes = [settings.n_fft * 2 // k for k in (1, 2, 4, 8)]
        self.unit = settings.n_fft
        self.mel = MelSpectrogram(settings)
        for size in self.sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Parts whose sum is the loss: `stft` and `mel`.

        Args:
            made: samples [B, N].
            wanted: samples [B, N].
        """
        parts = [self._distance(made, wanted, size) for size in self.sizes]
        mel = (self.mel(made) - self.mel(wanted)).abs().mean()
        return {"stft": torch.stack(parts).mean(), "mel": mel}

    def _distance(self, made: Tensor, wanted: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window_{size}")
        both = torch.stft(
            torch.cat([made, wanted]),
            size,
            size // 4,
            window=window,
            center=False,
            return_complex=True,
        )
        floor = QUIET * math.sqrt(size / self.unit)
        # The gradient of a complex number's magnitude is not finite at zero.
        magnitude = torch.view_as_real(both).square().sum(-1).clamp_min(floor**2).sqrt()
        a, b = magnitude.chunk(2)
        return (a.log() - b.log()).abs().mean() + (a - b).abs().sum() / b.sum()


def magnitude_loss(made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Parts whose sum is the loss of log-magnitudes: `log` and `linear`.

    Args:
        made: natural logarithms [B, T, bins].
        wanted: magnitudes [B, T, bins].
    """
    log = (made - wanted.clamp_min(QUIET).log()).abs().mean()
    linear = (made.exp() - wanted).abs().sum() / wanted.sum().clamp_min(QUIET)
    return {"log": log, "linear": LINEAR_WEIGHT * linear}
