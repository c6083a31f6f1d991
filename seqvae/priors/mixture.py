"""A learned mixture of diagonal Gaussians as the prior."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.ops import normal
from seqvae.priors.prior import Prior

SPREAD = 0.5
"""Standard deviation of the components' means at the start: with the rest of the variance within
them the mixture begins near N(0, I), and no two components are alike."""
LOG_VARIANCE_RANGE = (-8.0, 4.0)
"""exp(-8) = .02^2: a component cannot close in on one training sentence and its density explode."""


@dataclass(frozen=True)
class Mixture:
    """sum_k pi_k N(mean_k, diag(variance_k)), all learned: latents that come in clusters."""

    components: int = 32
    """Gaussians K."""

    def __post_init__(self) -> None:
        """Refuse what is no density."""
        if self.components < 1:
            raise UserError(f"prior mixture: components must be at least 1, got {self.components}")

    def build(self, dimension: int, items: int = 0) -> "MixturePrior":
        """The module, for vectors of size `dimension`; what items there are does not matter."""
        return MixturePrior(self, dimension)


@final
class MixturePrior(Prior):
    """See `Mixture`."""

    def __init__(self, config: Mixture, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.logits = nn.Parameter(torch.zeros(config.components))
        self.means = nn.Parameter(SPREAD * torch.randn(config.components, dimension))
        start = math.log(1 - SPREAD**2)
        self.log_variances = nn.Parameter(torch.full((config.components, dimension), start))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """log pi [K], means [K, D] and log-variances [K, D]."""
        log_variances = self.log_variances.clamp(*LOG_VARIANCE_RANGE)
        return self.logits.log_softmax(0), self.means, log_variances

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`."""
        return mixture_log_prob(z, *self.components())

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`."""
        return mixture_sample(seed, size, *self.components())


def mixture_log_prob(
    z: Tensor, log_weights: Tensor, means: Tensor, log_variances: Tensor
) -> Tensor:
    """Log-density in nats of a mixture of diagonal Gaussians.

    Args:
        z: shape [..., D].
        log_weights: log pi, shape [K].
        means: shape [K, D].
        log_variances: shape [K, D].

    Returns:
        shape [...].
    """
    squared = (z[..., None, :] - means).square() * torch.exp(-log_variances)
    each = -0.5 * (squared + log_variances + math.log(2 * math.pi)).sum(-1)
    return (each + log_weights).logsumexp(-1)


def mixture_sample(
    seed: Tensor, size: int, log_weights: Tensor, means: Tensor, log_variances: Tensor
) -> Tensor:
    """Vectors [size, D] of a mixture of diagonal Gaussians; see `mixture_log_prob`."""
    noise = normal(seed, (size, means.shape[1] + 1))
    return mixture_choose(noise, mixture_bounds(log_weights), means, log_variances)


def mixture_bounds(log_weights: Tensor) -> Tensor:
    """Where the normal's distribution function passes pi_1, pi_1 + pi_2, ..., shape [K - 1]."""
    passed = log_weights.double().exp().cumsum(0)[:-1]
    bounds: Tensor = torch.special.ndtri(passed.clamp(max=1.0))
    return bounds.float()


def mixture_choose(noise: Tensor, bounds: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """Vectors [B, D] of standard normal noise [B, D + 1].

    The last number of a row chooses the component by the inverse of the distribution function: one kind
    of noise is enough, on which all runtimes agree.
    """
    chosen = (noise[:, -1:] > bounds).sum(1)
    return means[chosen] + torch.exp(0.5 * log_variances[chosen]) * noise[:, :-1]
