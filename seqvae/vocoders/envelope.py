"""The part of a spectrum that needs no learning: its height between the centres of the mel bands."""

import numpy as np
import torch
from torch import Tensor, nn

from seqvae.data.speech.mel_settings import MelSettings, filterbank


class Envelope(nn.Module):
    """Log-magnitude of every bin by interpolation between the bands.

    What a network adds to it is small and alike for loud and soft frames.

    Args:
        settings: of the log-mel frames.
        n_fft: of the transform whose bins are asked for; windows of equal shape scale with its root.
    """

    weights: Tensor
    offset: Tensor

    def __init__(self, settings: MelSettings, n_fft: int) -> None:
        super().__init__()
        filters = filterbank(settings).astype(np.float64)
        area = np.maximum(filters.sum(1), 1e-8)
        frequencies = np.linspace(0.0, settings.sample_rate / 2, settings.bins)
        centres = (filters @ frequencies) / area
        wanted = np.linspace(0.0, settings.sample_rate / 2, n_fft // 2 + 1)
        rows = np.eye(settings.mels)
        weights = np.stack([np.interp(wanted, centres, row) for row in rows])
        offset = np.log(area) + 0.5 * np.log(settings.n_fft / n_fft)
        self.register_buffer("weights", torch.from_numpy(weights).float(), persistent=False)
        self.register_buffer("offset", torch.from_numpy(offset).float(), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-magnitudes [..., n_fft // 2 + 1] of log-mel frames [..., mels]."""
        return (mel - self.offset) @ self.weights
