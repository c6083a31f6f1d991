"""Diagonal Gaussians over one vector every few frames."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.ops import gaussian_kl, gaussian_latent
from seqvae.posteriors.posterior import Posterior


@final
@dataclass(frozen=True)
class FrameGaussian(Posterior):
    """Independent N(mean_t, diag(exp(log_variance_t))) for every valid step t.

    Attributes:
        location: means, shape [B, T', D], float32.
        log_variance: natural log of the variances, shape [B, T', D], float32.
        mask: true where a step is valid, bool [B, T']; None: all are. At others z is 0 and costs
            nothing.
    """

    location: Tensor
    log_variance: Tensor
    mask: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """Means, shape [B, T', D], float32; 0 at padding."""
        if self.mask is None:
            return self.location
        return torch.where(self.mask[..., None], self.location, 0.0)

    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """See `Posterior.sample`; shape [S, B, T', D]."""
        z, _ = gaussian_latent(
            self.location,
            self.log_variance,
            seed,
            offset=stream,
            samples=samples,
            noise_scale=noise_scale,
            mask=self.mask,
        )
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of `z` [..., B, T', D] over the valid steps, shape [..., B]."""
        squared = (z - self.location).square() * torch.exp(-self.log_variance)
        steps = -0.5 * (squared + self.log_variance + math.log(2 * math.pi)).sum(-1)
        return self.total(steps)

    def kl(self) -> Tensor:
        """See `Posterior.kl`: summed over valid steps, shape [B, D]."""
        return self._sum(gaussian_kl(self.location, self.log_variance))

    def sample_with_kl(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """See `Posterior.sample_with_kl`: the statistics are read once."""
        z, kl = gaussian_latent(
            self.location,
            self.log_variance,
            seed,
            offset=stream,
            samples=samples,
            mask=self.mask,
        )
        return z, kl.sum(1)

    def select(self, rows: Tensor | slice) -> "FrameGaussian":
        """See `Posterior.select`."""
        mask = None if self.mask is None else self.mask[rows]
        return FrameGaussian(self.location[rows], self.log_variance[rows], mask)

    def total(self, steps: Tensor) -> Tensor:
        """The sum of values [..., B, T'] over the valid steps, shape [..., B]."""
        return (steps if self.mask is None else torch.where(self.mask, steps, 0.0)).sum(-1)

    def _sum(self, steps: Tensor) -> Tensor:
        """The sum of values [B, T', D] over the valid steps, shape [B, D]."""
        return (steps if self.mask is None else steps.masked_fill(~self.mask[..., None], 0.0)).sum(
            1
        )
