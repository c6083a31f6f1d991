"""Frames: a normal density by bin, whose cost is the squared error."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.likelihoods.frame_likelihood import Statistics
from seqvae.likelihoods.standardised import StandardisedLikelihood, check_scale


@dataclass(frozen=True)
class Normal:
    """Normal: squared errors, the mean of what may follow."""

    scale: float | None = None
    """Of every bin, in deviations of the corpus, e.g. 1; by default learned, one of each bin."""

    def __post_init__(self) -> None:
        """Refuse a scale that is none."""
        check_scale("normal", self.scale)

    def build(
        self, width: int, mels: int, mean: Statistics = None, std: Statistics = None
    ) -> "NormalLikelihood":
        """The module, for states of size `width`; see `StandardisedLikelihood`."""
        return NormalLikelihood(width, mels, mean, std, self.scale)


@final
class NormalLikelihood(StandardisedLikelihood):
    """See `Normal`."""

    def cost(self, error: Tensor, log_scale: Tensor) -> Tensor:
        """See `StandardisedLikelihood.cost`."""
        squared = (error * torch.exp(-log_scale)).square()
        return 0.5 * squared + (log_scale + 0.5 * math.log(2.0 * math.pi))

    def error_quantile(self, probability: Tensor) -> Tensor:
        """See `StandardisedLikelihood.error_quantile`."""
        found: Tensor = torch.special.ndtri(probability)
        return found
