"""Sound to log-mel frames: the one implementation for training, conversion and export."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.mel_settings import MelSettings, filterbank


class MelSpectrogram(nn.Module):
    """Natural log-mel frames of a sound, see `MelSettings`.

    Args:
        settings: framing, scale and floor.
        exportable: compute the Fourier transform as one convolution, which any runtime has, instead
            of `torch.stft`; same values to 1e-5, and no gradient at silence.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, settings: MelSettings, *, exportable: bool = False) -> None:
        super().__init__()
        self.settings, self.exportable = settings, exportable
        left = (settings.n_fft - settings.window) // 2
        window = torch.hann_window(settings.window, dtype=torch.float64)
        window = F.pad(window, (left, settings.n_fft - settings.window - left))
        filters = torch.from_numpy(filterbank(settings)).t().contiguous()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", window.float(), persistent=False)
        if exportable:
            self.register_buffer("kernels", fourier_kernels(window), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Log-mel [B, N // hop, mels], float32, of sounds [B, N]."""
        return self._logarithm(self.magnitude(wave))

    def unpadded(self, padded: Tensor) -> Tensor:
        """Log-mel [B, T, mels] of T * hop samples with the `settings.edge` on each side that are there.

        For sound that comes in pieces; samples [B, T * hop + 2 * edge], float32.
        """
        return self._logarithm(self._spectrum(padded).abs().transpose(1, 2))

    def magnitude(self, wave: Tensor) -> Tensor:
        """Magnitudes of the Fourier transform, float32 [B, N // hop, n_fft // 2 + 1]."""
        settings = self.settings
        edge = settings.edge
        if self.exportable:
            padded = F.pad(wave.float()[:, None], (edge, edge), mode="reflect")
            parts = F.conv1d(padded, self.get_buffer("kernels"), stride=settings.hop)
            real, imaginary = parts.transpose(1, 2).chunk(2, -1)
            return torch.sqrt(real.square() + imaginary.square())
        if wave.shape[1] < settings.hop:
            return wave.new_zeros(len(wave), 0, settings.bins)
        # A mirror needs something to show: of a sound as short as the edge there is silence behind it.
        frames = wave.shape[1] // settings.hop
        wave = F.pad(wave.float(), (0, max(0, edge + 1 - wave.shape[1])))
        padded = F.pad(wave[:, None], (edge, edge), mode="reflect")[:, 0]
        return self._spectrum(padded).abs().transpose(1, 2)[:, :frames]

    def _spectrum(self, padded: Tensor) -> Tensor:
        n_fft, hop = self.settings.n_fft, self.settings.hop
        return torch.stft(padded, n_fft, hop, window=self.window, center=False, return_complex=True)

    def _logarithm(self, magnitude: Tensor) -> Tensor:
        return torch.log((magnitude @ self.filters).clamp_min(self.settings.floor))


def fourier_kernels(window: Tensor) -> Tensor:
    """Windowed cosines, then sines, of a real Fourier transform, float32 [n_fft + 2, 1, n_fft].

    Args:
        window: float64 [n_fft].
    """
    size = len(window)
    # Products modulo n_fft: the sine of a large angle would lose digits.
    turns = torch.outer(torch.arange(size // 2 + 1), torch.arange(size)) % size
    angles = turns.double() * (2.0 * math.pi / size)
    return (torch.cat([torch.cos(angles), -torch.sin(angles)]) * window).float()[:, None]
