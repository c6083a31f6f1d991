"""What a posterior is: a module that returns a distribution q(z | x), and that distribution."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Posterior(ABC):
    """A batch of distributions q(z | x) over vectors of size D.

    Those of a level with one vector every few frames are over [T', D]; below, their shapes have T'
    before D, but for the KL, which is summed over valid frames.
    """

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Means, shape [B, D], float32."""

    @abstractmethod
    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """Draw reparameterised samples.

        Args:
            seed: 1-element int64 tensor; the same seed gives the same noise anywhere.
            samples: S.
            noise_scale: factor on the noise; 0 gives the mean.
            stream: of noise under this seed; each latent level has its own.

        Returns:
            shape [S, B, D], float32.
        """

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of `z` [..., B, D], shape [..., B]."""

    @abstractmethod
    def kl(self) -> Tensor:
        """KL divergence to the standard normal in nats per dimension, shape [B, D], float32."""

    def sample_with_kl(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """`sample` and `kl` in one call: a posterior with a kernel for both at once overrides it."""
        return self.sample(seed, samples, stream=stream), self.kl()

    def sample_with_log_prob(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Samples [S, B, D] and their log-densities [S, B] in nats.

        A posterior that knows the density of what it draws at less cost than `log_prob` overrides it.
        """
        z = self.sample(seed, samples, stream=stream)
        return z, self.log_prob(z)

    @abstractmethod
    def select(self, rows: Tensor | slice) -> "Posterior":
        """The distributions of some rows."""


class PosteriorNetwork(nn.Module, ABC):
    """Maps an encoder's summary to a `Posterior`."""

    dimension: int

    @abstractmethod
    def forward(self, summary: Tensor) -> Posterior:
        """From summaries [B, H] to q(z | x)."""

    def frames(self, summaries: Tensor, lengths: Tensor | None = None) -> Posterior:
        """From summaries [B, T', H], of which `lengths` [B] are valid, to q(z | x) over [T', D].

        Raises:
            TypeError: it is for whole sequences alone.
        """
        raise TypeError(f"{type(self).__name__} has no posterior over frames")
