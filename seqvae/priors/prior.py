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
    def kl(self, posterior: Posterior, items: Tensor | None = None) -> Tensor:
        """KL(q(z | x) || p(z)) in nats per dimension, shape [B, D], float32.

        Args:
            posterior: q(z | x) of B rows.
            items: which item of the training split each row is from, [B], where that is known: some
                priors learn what is particular to it.
        """

    def sample_posterior(
        self,
        posterior: Posterior,
        seed: Tensor,
        samples: int,
        stream: int = 0,
        items: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Samples z of the posterior [S, B, D] and its KL to this prior [B, D], as `kl`."""
        return posterior.sample(seed, samples, stream=stream), self.kl(posterior, items)

    def penalty(self, posterior: Posterior, items: Tensor | None) -> Tensor | None:
        """What training adds to the loss for this prior, in nats per sequence [B]; None: nothing."""
        return None

    def center(self, z: Tensor) -> Tensor:
        """The one vector [D] that stands for `z` [N, D], inferred from N pieces of one thing."""
        return z.mean(0)
