"""Frames: a Laplace density by bin, whose cost is the absolute error."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.likelihoods.frame_likelihood import FrameLikelihood, Statistics


@dataclass(frozen=True)
class Laplace:
    """Laplace: absolute errors, the median of what may follow; sharper than `Normal`."""

    def build(
        self, width: int, mels: int, mean: Statistics = None, std: Statistics = None
    ) -> "LaplaceLikelihood":
        """The module, for states of size `width`; see `FrameLikelihood`."""
        return LaplaceLikelihood(width, mels, mean, std)


@final
class LaplaceLikelihood(FrameLikelihood):
    """See `Laplace`."""

    def cost(self, error: Tensor, log_scale: Tensor) -> Tensor:
        """See `FrameLikelihood.cost`."""
        return error.abs() * torch.exp(-log_scale) + (log_scale + math.log(2.0))
