"""Frames: a Laplace density by bin, whose cost is the absolute error."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.likelihoods.frame_likelihood import Statistics
from seqvae.likelihoods.standardised import StandardisedLikelihood, check_scale


@dataclass(frozen=True)
class Laplace:
    """Laplace: absolute errors, the median of what may follow; sharper than `Normal`."""

    scale: float | None = None
    """Of every bin, in deviations of the corpus, e.g. 1; by default learned, one of each bin."""

    def __post_init__(self) -> None:
        """Refuse a scale that is none."""
        check_scale("laplace", self.scale)

    def build(
        self, width: int, mels: int, mean: Statistics = None, std: Statistics = None
    ) -> "LaplaceLikelihood":
        """The module, for states of size `width`; see `StandardisedLikelihood`."""
        return LaplaceLikelihood(width, mels, mean, std, self.scale)


@final
class LaplaceLikelihood(StandardisedLikelihood):
    """See `Laplace`."""

    def cost(self, error: Tensor, log_scale: Tensor) -> Tensor:
        """See `StandardisedLikelihood.cost`."""
        return error.abs() * torch.exp(-log_scale) + (log_scale + math.log(2.0))

    def error_quantile(self, probability: Tensor) -> Tensor:
        """See `StandardisedLikelihood.error_quantile`."""
        off = probability - 0.5
        return -off.sign() * torch.log1p(-2.0 * off.abs())
