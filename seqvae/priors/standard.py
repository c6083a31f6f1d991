"""The standard normal prior."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.ops import normal
from seqvae.posteriors.posterior import Posterior
from seqvae.priors.prior import Prior


@dataclass(frozen=True)
class Standard:
    """N(0, I); where the posterior is vmf, the uniform density on the unit sphere."""

    def build(self, dimension: int, items: int = 0) -> "StandardPrior":
        """The module, for vectors of size `dimension`; what items there are does not matter."""
        return StandardPrior(dimension)


@final
class StandardPrior(Prior):
    """See `Standard`."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`."""
        return normal(seed, (size, self.dimension))

    def conditional(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `Prior.conditional`: the same at every z."""
        nothing = torch.zeros_like(z)
        return nothing, nothing

    def kl(
        self, posterior: Posterior, items: Tensor | None = None, z: Tensor | None = None
    ) -> Tensor:
        """See `Prior.kl`: by dimension, in closed form, where the posterior has one."""
        kl = posterior.kl()
        return super().kl(posterior, items, z) if kl is None else kl

    def sample_posterior(
        self,
        posterior: Posterior,
        seed: Tensor,
        samples: int,
        stream: int = 0,
        items: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Prior.sample_posterior`."""
        return posterior.sample_with_kl(seed, samples, stream)
