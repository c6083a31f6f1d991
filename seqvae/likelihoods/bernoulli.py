"""Frames of numbers from 0 to 1: a probability for every bin, whose cost is the cross-entropy."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqvae.likelihoods.frame_likelihood import FrameLikelihood, Statistics, statistics

# Bins that are always empty would start from an infinite logit.
RAREST = 1e-3
# Where a series of two terms is exact to 2e-6, and the closed form is 0 / 0 in the end.
SMALL_LOGIT = 0.1


@dataclass(frozen=True)
class Bernoulli:
    """A logit for every bin; values are from 0 to 1.

    Of binary values the cost is -log of a probability. Of fractions (grey values) it is the cross-entropy
    -x log p - (1 - x) log(1 - p), which is no density: it does not integrate to 1, so that its nats bound
    nothing and cannot be compared with those of other likelihoods. `continuous` adds what is missing.
    """

    continuous: bool = False
    """Whether the cost is divided by its integral over [0, 1], the density of the continuous Bernoulli
    (Loaiza-Ganem and Cunningham 2019, arXiv 1907.06845, equation 4): for fractions."""

    def build(
        self, width: int, mels: int, mean: Statistics = None, std: Statistics = None
    ) -> "BernoulliLikelihood":
        """The module, for states of size `width`, `mels` bins, and their mean over the corpus."""
        return BernoulliLikelihood(width, mels, mean, continuous=self.continuous)


@final
class BernoulliLikelihood(FrameLikelihood):
    """See `Bernoulli`."""

    def __init__(
        self, width: int, mels: int, mean: Statistics = None, *, continuous: bool = False
    ) -> None:
        super().__init__()
        self.width, self.mels, self.continuous = width, mels, continuous
        self.register_buffer("mean_of_bins", statistics(mean, mels, 0.5))
        self.output = nn.Linear(width, mels)
        with torch.no_grad():
            # From the means of the bins: to learn them first would take hundreds of steps.
            self.output.bias.copy_(torch.logit(self.mean_of_bins, RAREST))

    def embed(self, values: Tensor) -> Tensor:
        """See `Likelihood.embed`; values [B, T, F] less the corpus' mean of each bin."""
        return values - self.mean_of_bins

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [B, T, F] of states [B, T, width], float32."""
        out: Tensor = self.output(hidden)
        return out.float()

    def mean(self, hidden: Tensor) -> Tensor:
        """See `FrameLikelihood.mean`."""
        logits = self.logits(hidden)
        return continuous_mean(logits) if self.continuous else torch.sigmoid(logits)

    def quantile(self, hidden: Tensor, probability: Tensor) -> Tensor:
        """See `FrameLikelihood.quantile`; 0 or 1, fractions where it is continuous."""
        logits = self.logits(hidden)
        if self.continuous:
            return continuous_quantile(logits, probability.float())
        return (probability > torch.sigmoid(-logits)).float()

    def nll_bins(self, hidden: Tensor, values: Tensor) -> Tensor:
        """See `FrameLikelihood.nll_bins`."""
        logits = self.logits(hidden)
        cost = functional.softplus(logits) - values.float() * logits
        return cost - log_normaliser(logits) if self.continuous else cost


def log_normaliser(logits: Tensor) -> Tensor:
    """log C in nats, with C p^x (1 - p)^(1 - x) a density over [0, 1], for logits l of p.

    C = 2 atanh(1 - 2 p) / (1 - 2 p) (Loaiza-Ganem and Cunningham 2019, equation 4), which in l is
    l / tanh(l / 2): symmetric, log 2 at 0 and log |l| far from it.
    """
    small = logits.abs() < SMALL_LOGIT
    # The branch not taken must have a gradient too.
    safe = torch.where(small, 1.0, logits)
    near = math.log(2.0) + logits.square() / 12.0
    return torch.where(small, near, torch.log(safe / torch.tanh(safe / 2.0)))


def continuous_mean(logits: Tensor) -> Tensor:
    """Mean of the continuous Bernoulli of these logits, from 0 to 1 (equation 8 of the same, in logits)."""
    small = logits.abs() < SMALL_LOGIT
    safe = torch.where(small, 1.0, logits)
    far = 0.5 + 0.5 / torch.tanh(safe / 2.0) - 1.0 / safe
    return torch.where(small, 0.5 + logits / 12.0, far)


def continuous_quantile(logits: Tensor, probability: Tensor) -> Tensor:
    """Quantiles of the continuous Bernoulli of these logits: log(1 + p (e^l - 1)) / l (equation 9 of the same)."""
    small = logits.abs() < SMALL_LOGIT
    # That of -l mirrors that of l: with l below 0 nothing overflows.
    low = torch.where(small, -1.0, -logits.abs())
    mirrored = torch.where(logits > 0, 1.0 - probability, probability)
    far = torch.log1p(mirrored * torch.expm1(low)) / low
    far = torch.where(logits > 0, 1.0 - far, far)
    near = probability + 0.5 * logits * probability * (1.0 - probability)
    return torch.where(small, near, far).clamp(0.0, 1.0)
