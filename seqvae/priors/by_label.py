"""A Gaussian prior for each label, learned: p(z | label) of the conditional VAE (Sohn et al. 2015).

Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional Generative Models",
NeurIPS 2015, section 4.1.
"""

import math
from typing import final

import torch
from torch import Tensor, nn

from seqvae.ops import normal
from seqvae.priors.mixture import LOG_VARIANCE_RANGE, mixture_log_prob, mixture_sample
from seqvae.priors.prior import Prior


@final
class GaussianPrior(Prior):
    """N(mean, diag(exp(log_variance))).

    Args:
        mean: shape [D], or [B, D] for a prior of each row of a batch.
        log_variance: shaped as `mean`.
    """

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.dimension = mean.shape[-1]
        self.mean, self.log_variance = mean, log_variance

    def moved(self, mean: Tensor, log_variance: Tensor) -> "GaussianPrior":
        """The same with both moved by as much, shaped as they are."""
        wide = (self.log_variance + log_variance).clamp(*LOG_VARIANCE_RANGE)
        return GaussianPrior(self.mean + mean, wide)

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`; of priors of rows, z is [..., B, D]."""
        squared = (z - self.mean).square() * torch.exp(-self.log_variance)
        return -0.5 * (squared + self.log_variance + math.log(2 * math.pi)).sum(-1)

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`; of priors of rows, `size` is B."""
        return self.from_noise(normal(seed, (size, self.dimension)))

    def from_noise(self, noise: Tensor) -> Tensor:
        """Vectors [B, D] of standard normal noise [B, D]."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def conditional(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `Prior.conditional`: the same at every z."""
        return self.mean.expand_as(z), self.log_variance.expand_as(z)


@final
class ByLabelPrior(Prior):
    """A Gaussian for each label; of a sequence whose label nobody says, all of them in equal parts.

    Args:
        labels: how many there are.
        dimension: size D of z.
    """

    def __init__(self, labels: int, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        # N(0, I) at the start: what tells labels apart is learned.
        self.means = nn.Parameter(torch.zeros(labels, dimension))
        self.log_variances = nn.Parameter(torch.zeros(labels, dimension))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """log-weights [L], means [L, D] and log-variances [L, D]."""
        weights = self.means.new_full((len(self.means),), -math.log(len(self.means)))
        return weights, self.means, self.log_variances.clamp(*LOG_VARIANCE_RANGE)

    def given(self, labels: Tensor) -> GaussianPrior:
        """See `Prior.given`."""
        _, means, log_variances = self.components()
        return GaussianPrior(means[labels], log_variances[labels])

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`."""
        return mixture_log_prob(z, *self.components())

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`."""
        return mixture_sample(seed, size, *self.components())
