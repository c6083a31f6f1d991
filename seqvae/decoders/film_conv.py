"""Convolutional decoder from content to frames, the voice entering every block (FiLM)."""

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from seqvae.decoders.frame_decoder import FrameDecoder
from seqvae.encoders.content import check_sizes
from seqvae.nn.conv import Conv, Upsample, frame_mask, masked, shortened
from seqvae.nn.residual import ResidualConv, rectified


@dataclass(frozen=True)
class FilmConv:
    """Residual convolutions, upsampled to the frame rate."""

    width: int = 192
    """Channels."""
    layers: int = 3
    """Residual blocks at half the frame rate."""
    coarse_layers: int = 2
    """Residual blocks at the rate of the content."""
    kernel: int = 5
    """Taps of each convolution."""
    instance_norm: bool = True
    """Whether channels are normalised over time before the condition scales and shifts them."""
    causal: bool = False
    """Whether frames see content up to theirs only: for streaming."""

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be made."""
        check_sizes("decoder", self.width, self.kernel, self.layers, self.coarse_layers)

    def build(self, content: int, condition: int, stride: int) -> "FilmConvDecoder":
        """The module, for content [B, T', content], conditions [B, condition], `stride` 2 or 4."""
        return FilmConvDecoder(self, content, condition, stride)


@final
class FilmConvDecoder(FrameDecoder):
    """See `FilmConv`."""

    def __init__(self, config: FilmConv, content: int, condition: int, stride: int) -> None:
        super().__init__()
        self.width, self.stride = config.width, stride
        width, causal = config.width, config.causal

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualConv(
                    width,
                    config.kernel,
                    norm=config.instance_norm,
                    causal=causal,
                    condition=condition,
                )
                for _ in range(count)
            )

        self.input = Conv(content, width, 1)
        self.coarse = blocks(config.coarse_layers)
        self.up = Upsample(width, causal=causal) if stride == 4 else None
        self.fine = blocks(config.layers)
        self.last = Upsample(width, causal=causal)
        self.output = Conv(width, width, config.kernel, causal=causal)

    def forward(
        self, content: Tensor, condition: Tensor, frames: int, lengths: Tensor | None = None
    ) -> Tensor:
        """See `FrameDecoder.forward`."""
        mask = frame_mask(shortened(lengths, self.stride), content.shape[1])
        hidden = masked(self.input(content.transpose(1, 2)), mask)
        for block in self.coarse:
            hidden = block(hidden, mask, condition)
        if self.up is not None:
            # Cut at once, so that what lies behind the last frame is nothing, as at padding.
            hidden = self.up(rectified(hidden))[:, :, : (frames + 1) // 2]
            mask = frame_mask(shortened(lengths, 2), hidden.shape[2])
            hidden = masked(hidden, mask)
        for block in self.fine:
            hidden = block(hidden, mask, condition)
        hidden = self.last(rectified(hidden))[:, :, :frames]
        hidden = masked(rectified(hidden), frame_mask(lengths, hidden.shape[2]))
        states: Tensor = rectified(self.output(hidden)).transpose(1, 2)
        return states
