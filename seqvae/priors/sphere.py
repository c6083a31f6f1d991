"""The uniform density on the unit sphere: what is standard where the posterior is von Mises-Fisher."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.ops import normal
from seqvae.posteriors.posterior import Posterior
from seqvae.posteriors.vmf import OnSphere, log_area
from seqvae.priors.prior import Prior


@final
class SpherePrior(Prior):
    """Uniform on the unit sphere of R^D, per unit of its surface."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`; the same everywhere."""
        return torch.full(z.shape[:-1], -log_area(self.dimension), device=z.device)

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`; unit vectors."""
        return F.normalize(normal(seed, (size, self.dimension)), dim=-1)

    def kl(
        self, posterior: Posterior, items: Tensor | None = None, z: Tensor | None = None
    ) -> Tensor:
        """See `Prior.kl`; in closed form, shape [B, 1].

        Raises:
            TypeError: the posterior is not on the sphere.
        """
        if not isinstance(posterior, OnSphere):
            raise TypeError(f"a {type(posterior).__name__} posterior is not on the sphere")
        return posterior.kl()

    def sample_posterior(
        self,
        posterior: Posterior,
        seed: Tensor,
        samples: int,
        stream: int = 0,
        items: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Prior.sample_posterior`."""
        return posterior.sample(seed, samples, stream=stream), self.kl(posterior)
