"""Pitch from log-mel frames: what the content does not hold and the decoder has to be told.

The content encoder reads smoothed frames (`ContentConv.smooth`), in which harmonics cannot be seen, so
that no voice can be heard in the content. The course of the pitch goes to the decoder beside it. A small
network reads it from the frames, so that a trained model needs nothing but frames, in PyTorch and as a graph;
it learns from `seqvae.data.speech.pitch.track_pitch`.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.pitch import CONTOUR_SCALE
from seqvae.encoders.content import check_sizes
from seqvae.errors import UserError
from seqvae.nn.conv import Conv, frame_mask, masked
from seqvae.nn.residual import ResidualConv, rectified
from seqvae.nn.warp import warp_mels

SPREAD = 0.03
"""Natural log units around a frequency in which classes count as right: half a semitone."""
NEIGHBOURS = 3
"""Classes on either side of the likeliest that share in its frequency."""
LEVEL = 0.5
"""Recordings are louder and softer in training by up to so many standard deviations of a bin."""
WARP = 0.25
"""Frames are stretched in training by up to this part, and pitch with them: voices that are not in the
data are higher and lower than those that are."""


@dataclass(frozen=True)
class PitchConv:
    """Convolutions that read the pitch of every frame."""

    width: int = 64
    """Channels."""
    layers: int = 3
    """Residual blocks."""
    kernel: int = 5
    """Taps of each convolution."""
    classes: int = 96
    """Frequencies told apart, evenly spaced in logarithm."""
    low: float = 50.0
    """Lowest frequency, Hz."""
    high: float = 600.0
    """Highest frequency, Hz."""
    causal: bool = False
    """Whether frames see their past only: for streaming."""

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be made."""
        check_sizes("pitch", self.width, self.kernel, self.layers)
        if not 8 <= self.classes <= 4096:
            raise UserError(f"pitch classes: {self.classes} is not from 8 to 4096")
        if not 1.0 <= self.low < self.high <= 20_000.0:
            raise UserError(
                f"pitch low, high: {self.low:g} to {self.high:g} Hz is no range of frequencies"
            )

    def build(self, mels: int) -> "PitchReader":
        """The module, for frames [B, T, mels]."""
        return PitchReader(self, mels)


@final
class PitchReader(nn.Module):
    """See `PitchConv`."""

    grid: Tensor

    def __init__(self, config: PitchConv, mels: int) -> None:
        super().__init__()
        self.mels, self.causal = mels, config.causal
        grid = torch.linspace(math.log(config.low), math.log(config.high), config.classes)
        self.register_buffer("grid", grid, persistent=False)
        self.input = Conv(mels, config.width, config.kernel, causal=config.causal)
        self.blocks = nn.ModuleList(
            ResidualConv(config.width, config.kernel, norm=False, causal=config.causal)
            for _ in range(config.layers)
        )
        self.output = Conv(config.width, config.classes + 1, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores of standardised frames [B, T, mels]: of frequencies [B, T, classes], of being voiced [B, T].

        Args:
            x: frames.
            lengths: valid frames of each row, [B]; None: all are.
        """
        mask = frame_mask(lengths, x.shape[1])
        hidden = masked(self.input(masked(x.transpose(1, 2), mask)), mask)
        for block in self.blocks:
            hidden = block(hidden, mask)
        scores = self.output(rectified(hidden)).transpose(1, 2).float()
        return scores[..., :-1], scores[..., -1]

    def log_hertz(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Natural logarithm of the frequency, [B, T], where unvoiced a guess; and 1 where voiced, [B, T]."""
        scores, voiced = self(x, lengths)
        likeliest = scores.argmax(-1, keepdim=True)
        number = torch.arange(scores.shape[-1], device=x.device)
        near = (number - likeliest).abs() <= NEIGHBOURS
        weight = scores.masked_fill(~near, -math.inf).softmax(-1)
        return weight @ self.grid, (voiced > 0).to(scores.dtype)

    def contour(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What the decoder reads, [B, T, 3]: see `seqvae.data.speech.pitch.pitch_contour`.

        Causal, the mean is that of the voiced frames so far.

        Args:
            x: standardised frames [B, T, mels].
            lengths: valid frames of each row, [B]; None: all are.
        """
        log, voiced = self.log_hertz(x, lengths)
        mask = frame_mask(lengths, x.shape[1])
        if mask is not None:
            voiced = torch.where(mask[:, 0], voiced, 0.0)
        if self.causal:
            count, total = voiced.cumsum(1), (log * voiced).cumsum(1)
        else:
            count, total = voiced.sum(1, keepdim=True), (log * voiced).sum(1, keepdim=True)
        return contour_of(course(log, count, total), voiced, log)

    def nll(self, x: Tensor, pitch: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What tracked pitch costs, in nats per sequence [B]: frequencies where voiced, and voicing.

        In training frames are stretched and made louder or softer at random.

        Args:
            x: standardised frames [B, T, mels].
            pitch: [B, T, 3], see `pitch_contour`.
            lengths: valid frames of each row, [B]; None: all are.
        """
        wanted, voiced = pitch[..., 2], pitch[..., 1]
        if self.training:
            drawn = 2.0 * torch.rand(2, x.shape[0], device=x.device) - 1.0
            factors = 1.0 + WARP * drawn[0]
            x = warp_mels(x, factors) + LEVEL * drawn[1][:, None, None]
            # Bin i shows what bin i * factor did, and low bins are linear in frequency.
            wanted = wanted - factors.log()[:, None]
        scores, sounding = self(x, lengths)
        distance = (self.grid - wanted[..., None]) / SPREAD
        target = (-0.5 * distance.square()).softmax(-1)
        frequency = -(target * scores.log_softmax(-1)).sum(-1)
        cost = frequency * voiced
        cost = cost + F.binary_cross_entropy_with_logits(sounding, voiced, reduction="none")
        mask = frame_mask(lengths, x.shape[1])
        return (cost if mask is None else torch.where(mask[:, 0], cost, 0.0)).sum(1)


def contour_of(course: Tensor, voiced: Tensor, log_hertz: Tensor) -> Tensor:
    """The three, [B, T] each, as a contour [B, T, 3]; all 0 where unvoiced."""
    return torch.stack([course, torch.ones_like(voiced), log_hertz], -1) * voiced[..., None]


def course(log_hertz: Tensor, count: Tensor, total: Tensor) -> Tensor:
    """Log-frequencies [B, T] around their mean, in units of `CONTOUR_SCALE`.

    Args:
        log_hertz: natural logarithm of the frequency, [B, T].
        count: voiced frames that the mean is over, [B, 1] or [B, T]; without one there is no course, as in
            what was trained on.
        total: sum of their log-frequencies.
    """
    relative = (log_hertz - total / count.clamp_min(1.0)) / CONTOUR_SCALE
    return torch.where(count > 0, relative, 0.0)
