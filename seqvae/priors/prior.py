"""What a prior p(z) is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from seqvae.posteriors.posterior import Posterior


class Prior(nn.Module, ABC):
    """A distribution over latent vectors of size D."""

    dimension: int

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of `z` [..., D], shape [...]."""

    @abstractmethod
    def sample(self, seed: Tensor, size: int) -> Tensor:
        """Draw vectors, shape [size, D]; `seed` is a 1-element int64 tensor."""

    @abstractmethod
    def kl(self, posterior: Posterior) -> Tensor:
        """KL(q(z | x) || p(z)) in nats per dimension, shape [B, D], float32."""

    def sample_posterior(
        self, posterior: Posterior, seed: Tensor, samples: int
    ) -> tuple[Tensor, Tensor]:
        """Samples z of the posterior [S, B, D] and its KL to this prior [B, D], as `kl`."""
        return posterior.sample(seed, samples), self.kl(posterior)
