"""Convolutional decoder from content and pitch to frames, the voice entering every block (FiLM)."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.decoders.frame_decoder import FrameDecoder
from seqvae.encoders.content import check_dropout, check_sizes
from seqvae.nn.conv import Conv, Upsample, frame_mask, masked, shortened
from seqvae.nn.harmonics import Harmonics
from seqvae.nn.residual import ResidualConv, rectified

COURSE = 2
"""Numbers that say the course of the pitch: how far it is from its mean, and whether there is any."""


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
    harmonics: bool = True
    """Whether it is shown what the harmonics of the pitch look like; without, it hears its course alone."""
    dropout: float = 0.1
    """Part of the blocks' values dropped in training."""

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be made."""
        check_sizes("decoder", self.width, self.kernel, self.layers, self.coarse_layers)
        check_dropout("decoder", self.dropout)
        check_sizes("decoder fine", self.fine_width, self.kernel, self.fine_layers)

    def build(
        self, content: int, condition: int, stride: int, pitch: MelSettings | None = None
    ) -> "FilmConvDecoder":
        """The module, for content [B, T', content], conditions [B, condition], `stride` 2 or 4.

        With `pitch`, the settings of the frames, it reads the pitch too.
        """
        return FilmConvDecoder(self, content, condition, stride, pitch)


@final
class FilmConvDecoder(FrameDecoder):
    """See `FilmConv`."""

    def __init__(
        self,
        config: FilmConv,
        content: int,
        condition: int,
        stride: int,
        pitch: MelSettings | None,
    ) -> None:
        super().__init__()
        self.stride = stride
        width, fine, causal = config.width, config.fine_width, config.causal

        def blocks(count: int, width: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualConv(
                    width,
                    config.kernel,
                    norm=config.instance_norm,
                    causal=causal,
                    dropout=config.dropout,
                    condition=condition,
                )
                for _ in range(count)
            )

        self.input = Conv(content, width, 1)
        self.coarse = blocks(config.coarse_layers, width)
        self.up = Upsample(width, width, causal=causal) if stride == 4 else None
        told = pitch is not None
        self.middle_pitch = Conv(COURSE, width, 4, stride=2, causal=causal) if told else None
        self.middle = blocks(config.layers, width)
        self.last_up = Upsample(width, fine, causal=causal)
        self.harmonics = Harmonics(pitch) if pitch is not None and config.harmonics else None
        shown = 0 if self.harmonics is None else self.harmonics.table.shape[1]
        self.pitch = Conv(COURSE + shown, fine, 3, causal=causal) if told else None
        self.fine = blocks(config.fine_layers, fine)
        self.output = Conv(fine, fine, config.kernel, causal=causal)
        # How strong the harmonics are, bin by bin: the states end with those that are to be heard.
        self.voicing = Conv(fine, shown, config.kernel, causal=causal) if shown else None
        self.width = fine + shown

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
        course = told = harmonics = None
        if pitch is not None:
            contour = masked(pitch.transpose(1, 2), fine_mask)
            course = told = contour[:, :COURSE]
            if self.harmonics is not None:
                harmonics = self.harmonics(contour.transpose(1, 2)).transpose(1, 2)
                told = torch.cat([course, harmonics], 1)
        # Cut here and at every step, so that what lies behind the last frame is nothing, as at padding.
        content = content[:, : (frames + self.stride - 1) // self.stride]
        mask = frame_mask(shortened(lengths, self.stride), content.shape[1])
        hidden = masked(self.input(content.transpose(1, 2)), mask)
        for block in self.coarse:
            hidden = block(hidden, mask, condition)
        if self.up is not None:
            hidden = self.up(rectified(hidden))[:, :, :half]
        hidden = masked(_added(hidden, self.middle_pitch, course), half_mask)
        for block in self.middle:
            hidden = block(hidden, half_mask, condition)
        hidden = self.last_up(rectified(hidden))[:, :, :frames]
        hidden = masked(_added(hidden, self.pitch, told), fine_mask)
        for block in self.fine:
            hidden = block(hidden, fine_mask, condition)
        hidden = rectified(hidden)
        states: Tensor = rectified(self.output(hidden))
        if self.voicing is not None and harmonics is not None:
            states = torch.cat([states, self.voicing(hidden) * harmonics.to(states.dtype)], 1)
        return states.transpose(1, 2)


def _added(hidden: Tensor, layer: Conv | None, told: Tensor | None) -> Tensor:
    """What the pitch adds to hidden states [B, C, T]."""
    if layer is None or told is None:
        return hidden
    added: Tensor = hidden + layer(told)
    return added
