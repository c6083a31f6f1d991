"""Frames: a normal density by bin, whose cost is the squared error."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.likelihoods.frame_likelihood import FrameLikelihood, Statistics


@dataclass(frozen=True)
class Normal:
    """Normal: squared errors, the mean of what may follow."""

    def build(
        self, width: int, mels: int, mean: Statistics = None, std: Statistics = None
    ) -> "NormalLikelihood":
        """The module, for states of size `width`; see `FrameLikelihood`."""
        return NormalLikelihood(width, mels, mean, std)


@final
class NormalLikelihood(FrameLikelihood):
    """See `Normal`."""

    def cost(self, error: Tensor, log_scale: Tensor) -> Tensor:
        """See `FrameLikelihood.cost`."""
        squared = (error * torch.exp(-log_scale)).square()
        return 0.5 * squared + (log_scale + 0.5 * math.log(2.0 * math.pi))
