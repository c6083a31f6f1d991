"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864, eq. 34), half-split layout."""

import torch
from torch import Tensor, nn


class Rotary(nn.Module):
    """Rotates queries and keys by their position; no trained weights.

    Args:
        head_dimension: size of one head, even.
        max_length: longest sequence, in steps.
        base: wavelength base.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, head_dimension: int, max_length: int, base: float = 10_000.0) -> None:
        super().__init__()
        half = head_dimension // 2
        frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(max_length, dtype=torch.float64)[:, None] * frequency
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Rotate `x` of shape [B, heads, T, D], whose first step has position `start`."""
        stop = start + x.shape[2]
        if stop > self.cosine.shape[0]:
            raise ValueError(f"position {stop} is past max_length {self.cosine.shape[0]}")
        cosine = self.cosine[start:stop].to(x.dtype)
        sine = self.sine[start:stop].to(x.dtype)
        first, second = x.chunk(2, -1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)
