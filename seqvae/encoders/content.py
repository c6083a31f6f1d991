"""Content encoder: what is said, every few frames, and as little as possible of who says it.

After Chou et al. 2019 ("One-shot Voice Conversion by Separately Representing Speaker and Content
Representations with Instance Normalization", arXiv 1904.05742).
"""

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from seqvae.encoders.frame_encoder import FrameEncoder
from seqvae.errors import UserError
from seqvae.nn.conv import Conv, frame_mask, masked, shortened
from seqvae.nn.instance_norm import InstanceNorm
from seqvae.nn.residual import ResidualConv


@dataclass(frozen=True)
class ContentConv:
    """Residual convolutions over log-mel frames."""

    width: int = 192
    """Channels."""
    layers: int = 3
    """Residual blocks at half the frame rate."""
    coarse_layers: int = 0
    """Residual blocks at a quarter of it, with stride 4; with stride 2 they stay at half."""
    kernel: int = 5
    """Taps of each convolution."""
    stride: Literal[2, 4] = 2
    """Frames for one content vector: 2 of 16 ms are 32 ms, 31 vectors a second."""
    instance_norm: bool = True
    """Whether every channel loses its mean and scale over time, and much of the speaker with them."""
    causal: bool = False
    """Whether frames see their past only, statistics included: for streaming."""
    smooth: int = 24
    """Cepstral coefficients of the frames that are read, the first so many: without the fine ones
    there is little pitch in them. 0, or as many as there are bins: all."""
    dropout: float = 0.1
    """Part of the blocks' values dropped in training."""

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be made."""
        check_sizes("content", self.width, self.kernel, self.layers, self.coarse_layers)
        if self.smooth < 0:
            raise UserError(f"content smooth: {self.smooth} is not a number of coefficients")
        check_dropout("content", self.dropout)

    def build(self, mels: int) -> "ContentEncoder":
        """The module, for frames [B, T, mels]."""
        return ContentEncoder(self, mels)


def check_sizes(name: str, width: int, kernel: int, *layers: int) -> None:
    """Raise a UserError unless convolutions of these sizes keep the length and fit in memory."""
    if not 1 <= width <= 8192:
        raise UserError(f"{name} width: {width} is not from 1 to 8192")
    if kernel not in range(1, 64, 2):
        raise UserError(f"{name} kernel: {kernel} is not an odd number from 1 to 63")
    if not all(0 <= count <= 256 for count in layers):
        raise UserError(f"{name} layers: {', '.join(map(str, layers))} are not from 0 to 256")


def check_dropout(name: str, dropout: float) -> None:
    """Raise a UserError unless this is a probability below 1."""
    if not 0.0 <= dropout < 1.0:
        raise UserError(f"{name} dropout: {dropout} is not from 0 to below 1")


@final
class ContentEncoder(FrameEncoder):
    """See `ContentConv`."""

    def __init__(self, config: ContentConv, mels: int) -> None:
        super().__init__()
        self.width, self.stride, self.mels = config.width, config.stride, mels
        width, causal = config.width, config.causal
        self.register_buffer("smoother", None, persistent=False)
        if 0 < config.smooth < mels:
            self.smoother = cepstral_smoother(mels, config.smooth)

        def block() -> ResidualConv:
            return ResidualConv(
                width,
                config.kernel,
                norm=config.instance_norm,
                causal=causal,
                dropout=config.dropout,
            )

        kernel = max(config.kernel, 3)
        self.input = Conv(
            mels, width, kernel, stride=2, causal=causal, bias=not config.instance_norm
        )
        self.norm = InstanceNorm(causal=causal) if config.instance_norm else None
        self.fine = nn.ModuleList(block() for _ in range(config.layers))
        self.down = None
        if config.stride == 4:
            self.down = Conv(width, width, kernel - 1, stride=2, causal=causal)
        self.coarse = nn.ModuleList(block() for _ in range(config.coarse_layers))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `FrameEncoder.forward`."""
        if self.smoother is not None:
            x = x @ self.smoother.to(x.dtype)
        x = masked(x.transpose(1, 2), frame_mask(lengths, x.shape[1]))
        hidden = self.input(x)
        lengths = shortened(lengths, 2)
        mask = frame_mask(lengths, hidden.shape[2])
        hidden = masked(hidden, mask) if self.norm is None else self.norm(hidden, mask)
        for block in self.fine:
            hidden = block(hidden, mask)
        if self.down is not None:
            hidden = self.down(hidden)
            mask = frame_mask(shortened(lengths, 2), hidden.shape[2])
            hidden = masked(hidden, mask)
        for block in self.coarse:
            hidden = block(hidden, mask)
        out: Tensor = hidden.transpose(1, 2)
        return out


def cepstral_smoother(mels: int, keep: int) -> Tensor:
    """Projection on the first `keep` vectors of the orthonormal cosine transform, [mels, mels]."""
    place = (torch.arange(mels, dtype=torch.float64) + 0.5) / mels
    order = torch.arange(keep, dtype=torch.float64)
    basis = torch.cos(math.pi * place[:, None] * order) * math.sqrt(2.0 / mels)
    basis[:, 0] /= math.sqrt(2.0)
    return (basis @ basis.t()).float()
