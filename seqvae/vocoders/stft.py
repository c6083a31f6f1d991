"""The short-time Fourier transform and its inverse, in the framing of `MelSettings`."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError

TINY = 1e-8
"""Below this the squared windows on a sample do not count: the first sample of all has none."""


class Stft(nn.Module):
    """Spectra of a padded sound and back; frame t begins at its sample t * hop.

    A sound of T frames has (T - 1) * hop + n_fft samples here: `trim` leaves the T * hop that
    belong to it. Spectra are [B, T, 2, bins]: real parts, then imaginary ones.

    Args:
        settings: framing; `hop` must divide `n_fft`.

    Raises:
        UserError: it does not.
    """

    window: Tensor

    def __init__(self, settings: MelSettings) -> None:
        super().__init__()
        n_fft, hop, length = settings.n_fft, settings.hop, settings.window
        if n_fft % hop:
            raise UserError(
                f"mel settings hop: a vocoder needs one that divides n_fft {n_fft}, such as "
                f"{n_fft // 4}; got {hop}: prepare the data again with such a hop"
            )
        self.n_fft, self.hop, self.overlap, self.edge = n_fft, hop, n_fft // hop, settings.edge
        left = (n_fft - length) // 2
        window = F.pad(torch.hann_window(length), (left, n_fft - length - left))
        self.register_buffer("window", window, persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """Spectra [B, T, 2, bins] of samples [B, (T - 1) * hop + n_fft]."""
        spectrum = torch.stft(
            padded, self.n_fft, self.hop, self.n_fft, self.window, center=False, return_complex=True
        )
        return torch.view_as_real(spectrum).permute(0, 2, 3, 1)

    def inverse(self, spectra: Tensor) -> Tensor:
        """The sound whose spectra are nearest to these [B, T, 2, bins]: [B, (T - 1) * hop + n_fft].

        Griffin and Lim 1984, eq. 6: windowed frames added up, divided by the squared windows.
        """
        real, imaginary = spectra.unbind(2)
        frames = torch.fft.irfft(torch.complex(real, imaginary), self.n_fft) * self.window
        squares = self.window.square().expand(1, spectra.shape[1], -1)
        return self.overlap_add(frames) / self.overlap_add(squares).clamp_min(TINY)

    def overlap_add(self, frames: Tensor) -> Tensor:
        """Frames [B, T, n_fft] laid over each other: [B, (T - 1) * hop + n_fft]."""
        pieces = frames.view(*frames.shape[:2], self.overlap, self.hop).unbind(2)
        shifted = [F.pad(p, (0, 0, k, self.overlap - 1 - k)) for k, p in enumerate(pieces)]
        return sum(shifted[1:], shifted[0]).flatten(1)

    def trim(self, padded: Tensor) -> Tensor:
        """The samples [B, T * hop] that belong to the frames."""
        return padded[:, self.edge : padded.shape[1] - self.edge]


def polar(magnitude: Tensor, turns: Tensor) -> Tensor:
    """Spectra [B, T, 2, bins] of magnitudes [B, T, bins] and angles [T, bins] or [B, T, bins], in turns."""
    angle = (2.0 * math.pi) * turns
    return magnitude[:, :, None] * torch.stack((torch.cos(angle), torch.sin(angle)), -2)
