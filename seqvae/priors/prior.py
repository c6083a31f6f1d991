"""What a prior p(z) is."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seqvae.posteriors.posterior import Posterior

KL_SAMPLES = 16
"""Samples behind a Monte-Carlo KL for which the caller brings none."""


class Prior(nn.Module, ABC):
    """A distribution over latent vectors of size D."""

    dimension: int

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of `z` [..., D], shape [...]."""

    @abstractmethod
    def sample(self, seed: Tensor, size: int) -> Tensor:
        """Draw vectors, shape [size, D]; `seed` is a 1-element int64 tensor.

        The first of many are those of fewer.
        """

    def kl(
        self, posterior: Posterior, items: Tensor | None = None, z: Tensor | None = None
    ) -> Tensor:
        """KL(q(z | x) || p(z)) in nats, float32, shape [B, D], or [B, 1] where it is one number.

        By default mean_s log q(z_s | x) - log p(z_s): unbiased, and below zero by chance where the
        KL is small. It does not split over dimensions.

        Args:
            posterior: q(z | x) of B rows.
            items: which item of the training split each row is from, [B], where that is known: some
                priors learn what is particular to it.
            z: samples of the posterior, [S, B, D], for an estimate; None: `KL_SAMPLES` of its own,
                always the same noise. A prior that has a closed form needs none.
        """
        if z is None:
            seed = torch.zeros(1, dtype=torch.int64, device=posterior.mean.device)
            z, log_q = posterior.sample_with_log_prob(seed, KL_SAMPLES)
        else:
            log_q = posterior.log_prob(z)
        return (log_q - self.log_prob(z)).mean(0)[:, None]

    def sample_posterior(
        self,
        posterior: Posterior,
        seed: Tensor,
        samples: int,
        stream: int = 0,
        items: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Samples z of the posterior [S, B, D] and its KL to this prior, as `kl`, if need be from them."""
        z, log_q = posterior.sample_with_log_prob(seed, samples, stream)
        return z, (log_q - self.log_prob(z)).mean(0)[:, None]

    def penalty(self, posterior: Posterior, items: Tensor | None) -> Tensor | None:
        """What training adds to the loss for this prior, in nats per sequence [B]; None: nothing."""
        return None

    def center(self, z: Tensor) -> Tensor:
        """The one vector [D] that stands for `z` [N, D], inferred from N pieces of one thing."""
        return z.mean(0)
