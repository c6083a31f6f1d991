"""What a prior p(z) is."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seqvae.posteriors.gaussian import diagonal_kl
from seqvae.posteriors.posterior import Posterior

KL_SAMPLES = 16
"""Samples behind a Monte-Carlo KL for which the caller brings none."""


class Prior(nn.Module, ABC):
    """A distribution over latent vectors of size D."""

    dimension: int
    levels: int = 1
    """Parts of z of which each is expected by those before it."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of `z` [..., D], shape [...]."""

    @abstractmethod
    def sample(self, seed: Tensor, size: int) -> Tensor:
        """Draw vectors, shape [size, D]; `seed` is a 1-element int64 tensor.

        The first of many are those of fewer.
        """

    def given(self, labels: Tensor) -> "Prior":
        """What is expected of sequences with these labels: rows [B], or one for all (0-d).

        By default the same whatever the label.
        """
        return self

    def conditional(self, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Means and log-variances of each dimension given the dimensions of `z` [..., D] before it.

        Where p is a product of Gaussians, each given those before it; None: it is not.
        """
        return None

    def kl(
        self, posterior: Posterior, items: Tensor | None = None, z: Tensor | None = None
    ) -> Tensor:
        """KL(q(z | x) || p(z)) in nats, float32, shape [B, D], or [B, 1] where it is one number.

        By default mean_s log q(z_s | x) - log p(z_s): unbiased, and below zero by chance where the
        KL is small. It does not split over dimensions. Where q and p are both Gaussian given the dimensions
        before, it is the mean of those KLs at z_s instead, by dimension: unbiased, and never below zero.

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
            log_q = None
        split = self._kl_dimensions(posterior, z)
        if split is not None:
            return split
        log_q = posterior.log_prob(z) if log_q is None else log_q
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
        split = self._kl_dimensions(posterior, z)
        return z, (log_q - self.log_prob(z)).mean(0)[:, None] if split is None else split

    def _kl_dimensions(self, posterior: Posterior, z: Tensor) -> Tensor | None:
        """The KL [B, D] of Gaussians given the dimensions before, at samples [S, B, D]; None: they are not."""
        p = self.conditional(z)
        q = None if p is None else posterior.conditional(z)
        return None if q is None else diagonal_kl(q, p).mean(0)

    def penalty(self, posterior: Posterior, items: Tensor | None) -> Tensor | None:
        """What training adds to the loss for this prior, in nats per sequence [B]; None: nothing."""
        return None

    def center(self, z: Tensor) -> Tensor:
        """The one vector [D] that stands for `z` [N, D], inferred from N pieces of one thing."""
        return z.mean(0)
