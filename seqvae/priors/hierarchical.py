"""Prior of what the crops of one recording share (factorized hierarchical VAE).

Hsu, Zhang and Glass 2017, "Unsupervised Learning of Disentangled and Interpretable Representations from
Sequential Data", arXiv 1709.07902: every recording i has a vector s_i ~ N(0, I), and the style of each of
its crops is z ~ N(s_i, sigma^2 I). Nothing needs to be known of the speaker.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.ops import normal
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.posteriors.posterior import Posterior
from seqvae.priors.prior import Prior


@dataclass(frozen=True)
class Hierarchical:
    """N(s_i, sigma^2) around a vector of each recording, which is N(0, 1)."""

    deviation: float = 0.5
    """sigma: how far the styles of one recording's crops lie apart."""
    crops: float = 2.0
    """Crops that a recording is made of: each pays its part of the cost of s_i."""
    discriminative: float = 10.0
    """Weight of -log p(i | z), the nats it takes to say from which recording a style is; 0: off."""

    def __post_init__(self) -> None:
        """Refuse what is no density."""
        if not 0.0 < self.deviation <= 100.0:
            raise UserError(f"style prior deviation must be above 0, got {self.deviation}")
        if not self.crops >= 1.0:
            raise UserError(f"style prior crops must be at least 1, got {self.crops}")
        if not self.discriminative >= 0.0:
            raise UserError(
                f"style prior discriminative must be at least 0, got {self.discriminative}"
            )

    def build(self, dimension: int, items: int = 0) -> "HierarchicalPrior":
        """The module, for vectors of size `dimension` and `items` recordings to train on."""
        return HierarchicalPrior(self, dimension, items)


@final
class HierarchicalPrior(Prior):
    """See `Hierarchical`; of a recording that is not in the table, p(z) = N(0, 1 + sigma^2)."""

    def __init__(self, config: Hierarchical, dimension: int, items: int) -> None:
        super().__init__()
        self.config, self.dimension = config, dimension
        self.table = nn.Embedding(items, dimension)
        with torch.no_grad():
            # Near each other at the start, but not alike: equal vectors would have equal gradients.
            self.table.weight.mul_(0.1)
        self.variance = config.deviation**2

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`; for a recording that is not known."""
        variance = 1.0 + self.variance
        return -0.5 * (z.square() / variance + math.log(2 * math.pi * variance)).sum(-1)

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`; each of another recording."""
        return normal(seed, (size, self.dimension)) * math.sqrt(1.0 + self.variance)

    def kl(
        self, posterior: Posterior, items: Tensor | None = None, z: Tensor | None = None
    ) -> Tensor:
        """See `Prior.kl`; in closed form; with `items`, each row's share of the cost of its recording is included."""
        if items is None:
            return _relative(posterior, None, 1.0 + self.variance).kl()
        center = self.table(items).float()
        return _relative(posterior, center, self.variance).kl() + self._share(center)

    def sample_posterior(
        self,
        posterior: Posterior,
        seed: Tensor,
        samples: int,
        stream: int = 0,
        items: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Prior.sample_posterior`."""
        center = None if items is None else self.table(items).float()
        variance = self.variance if items is not None else 1.0 + self.variance
        z, kl = _relative(posterior, center, variance).sample_with_kl(seed, samples, stream)
        z = z * math.sqrt(variance)
        return (z, kl) if center is None else (z + center, kl + self._share(center))

    def penalty(self, posterior: Posterior, items: Tensor | None) -> Tensor | None:
        """See `Prior.penalty`: discriminative * -log p(i | z) at the mean of z (eq. 9 of the paper)."""
        if items is None or not self.config.discriminative:
            return None
        distance = torch.cdist(posterior.mean, self.table.weight.float()).square()
        log_item = (-0.5 / self.variance * distance).log_softmax(1)
        return -self.config.discriminative * log_item.gather(1, items[:, None])[:, 0]

    def center(self, z: Tensor) -> Tensor:
        """See `Prior.center`: the mean of s given z_1 ... z_N, sum z / (N + sigma^2)."""
        return z.sum(0) / (len(z) + self.variance)

    def _share(self, center: Tensor) -> Tensor:
        """What a row pays of -log p(s), less its constant: nats per dimension, [B, D]."""
        return 0.5 * center.square() / self.config.crops


def _relative(posterior: Posterior, center: Tensor | None, variance: float) -> DiagonalGaussian:
    """The posterior in units of N(center, variance): its KL to N(0, 1) is that to the former."""
    if not isinstance(posterior, DiagonalGaussian):
        raise TypeError(f"a hierarchical prior of {type(posterior).__name__} is not known")
    mean = posterior.location if center is None else posterior.location - center
    return DiagonalGaussian(mean / math.sqrt(variance), posterior.log_variance - math.log(variance))
