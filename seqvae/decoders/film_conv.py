"""Convolutional decoder from content and pitch to frames, the voice entering every block (FiLM)."""

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from seqvae.decoders.frame_decoder import FrameDecoder
from seqvae.encoders.content import check_sizes
from seqvae.nn.conv import Conv, Upsample, frame_mask, masked, shortened
from seqvae.nn.residual import ResidualConv, rectified

CONTOUR = 2
"""Numbers that say the pitch of a frame: its course and whether it is voiced."""


@dataclass(frozen=True)
class FilmConv:
    """Residual convolutions, upsampled to the frame rate."""

    width: int = 192
    """Channels below the frame rate."""
    layers: int = 4
    """Residual blocks at half the frame rate."""
    coarse_layers: int = 0
    """Residual blocks at a quarter of it, for content of stride 4; with stride 2 they are at half."""
    fine_width: int = 128
    """Channels at the frame rate, and size of the states."""
    fine_layers: int = 1
    """Residual blocks at the frame rate."""
    kernel: int = 5
    """Taps of each convolution."""
    instance_norm: bool = True
    """Whether channels are normalised over time before the condition scales and shifts them."""
    causal: bool = False
    """Whether frames hear content and pitch up to theirs only: for streaming."""

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be made."""
        check_sizes("decoder", self.width, self.kernel, self.layers, self.coarse_layers)
        check_sizes("decoder fine", self.fine_width, self.kernel, self.fine_layers)

    def build(
        self, content: int, condition: int, stride: int, pitch: bool = False
    ) -> "FilmConvDecoder":
        """The module, for content [B, T', content], conditions [B, condition], `stride` 2 or 4.

        With `pitch` it reads the course of the pitch too.
        """
        return FilmConvDecoder(self, content, condition, stride, pitch)


@final
class FilmConvDecoder(FrameDecoder):
    """See `FilmConv`."""

    def __init__(
        self, config: FilmConv, content: int, condition: int, stride: int, pitch: bool
    ) -> None:
        super().__init__()
        self.width, self.stride = config.fine_width, stride
        width, fine, causal = config.width, config.fine_width, config.causal

        def blocks(count: int, width: int) -> nn.ModuleList:
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
        self.coarse = blocks(config.coarse_layers, width)
        self.up = Upsample(width, width, causal=causal) if stride == 4 else None
        self.middle_pitch = Conv(CONTOUR, width, 4, stride=2, causal=causal) if pitch else None
        self.middle = blocks(config.layers, width)
        self.last_up = Upsample(width, fine, causal=causal)
        self.pitch = Conv(CONTOUR, fine, 3, causal=causal) if pitch else None
        self.fine = blocks(config.fine_layers, fine)
        self.output = Conv(fine, fine, config.kernel, causal=causal)

    def forward(
        self,
        content: Tensor,
        condition: Tensor,
        frames: int,
        pitch: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """See `FrameDecoder.forward`.

        Raises:
            ValueError: the pitch is missing, or not asked for.
        """
        if (pitch is None) != (self.pitch is None):
            raise ValueError(f"this decoder {'has no' if pitch is not None else 'needs the'} pitch")
        fine_mask, half = frame_mask(lengths, frames), (frames + 1) // 2
        half_mask = frame_mask(shortened(lengths, 2), half)
        contour = None if pitch is None else masked(pitch.transpose(1, 2), fine_mask)
        # Cut here and at every step, so that what lies behind the last frame is nothing, as at padding.
        content = content[:, : (frames + self.stride - 1) // self.stride]
        mask = frame_mask(shortened(lengths, self.stride), content.shape[1])
        hidden = masked(self.input(content.transpose(1, 2)), mask)
        for block in self.coarse:
            hidden = block(hidden, mask, condition)
        if self.up is not None:
            hidden = self.up(rectified(hidden))[:, :, :half]
        hidden = masked(_added(hidden, self.middle_pitch, contour), half_mask)
        for block in self.middle:
            hidden = block(hidden, half_mask, condition)
        hidden = self.last_up(rectified(hidden))[:, :, :frames]
        hidden = masked(_added(hidden, self.pitch, contour), fine_mask)
        for block in self.fine:
            hidden = block(hidden, fine_mask, condition)
        states: Tensor = rectified(self.output(rectified(hidden))).transpose(1, 2)
        return states


def _added(hidden: Tensor, layer: Conv | None, contour: Tensor | None) -> Tensor:
    """What the pitch adds to hidden states [B, C, T]."""
    if layer is None or contour is None:
        return hidden
    added: Tensor = hidden + layer(contour)
    return added
