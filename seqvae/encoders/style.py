"""Style encoder: who speaks and how, one vector for all frames."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.encoders.content import check_sizes
from seqvae.encoders.encoder import Encoder
from seqvae.nn.conv import Conv, frame_mask, masked, shortened
from seqvae.nn.residual import ResidualConv, rectified

EPSILON = 1e-5


@dataclass(frozen=True)
class StyleConv:
    """Convolutions without instance norm, pooled to mean and standard deviation over time."""

    width: int = 128
    """Channels, and size of the summary."""
    layers: int = 3
    """Residual blocks at half the frame rate."""
    kernel: int = 5
    """Taps of each convolution."""

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be made."""
        check_sizes("style", self.width, self.kernel, self.layers)

    def build(self, mels: int, max_length: int | None = None) -> "StyleEncoder":
        """The module, for frames [B, T, mels]; any length."""
        return StyleEncoder(self, mels)


@final
class StyleEncoder(Encoder):
    """See `StyleConv`."""

    def __init__(self, config: StyleConv, mels: int) -> None:
        super().__init__()
        self.width = config.width
        self.input = Conv(mels, config.width, max(config.kernel, 3), stride=2)
        self.blocks = nn.ModuleList(
            ResidualConv(config.width, config.kernel, norm=False) for _ in range(config.layers)
        )
        self.output = nn.Linear(2 * config.width, config.width)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Encoder.forward`; without `lengths` all frames are valid."""
        x = masked(x.transpose(1, 2), frame_mask(lengths, x.shape[1]))
        hidden = self.input(x)
        mask = frame_mask(shortened(lengths, 2), hidden.shape[2])
        hidden = masked(hidden, mask)
        for block in self.blocks:
            hidden = block(hidden, mask)
        out: Tensor = self.output(rectified(mean_and_deviation(hidden, mask)))
        return out


def mean_and_deviation(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean and standard deviation over the real steps of `x` [B, C, T], side by side [B, 2 C]."""
    if mask is None:
        mean = x.mean(2)
        variance = (x - mean[..., None]).square().mean(2)
    else:
        count = mask.sum(2).clamp_min(1)
        mean = x.sum(2) / count
        variance = masked(x - mean[..., None], mask).square().sum(2) / count
    return torch.cat([mean, torch.sqrt(variance + EPSILON)], 1)
