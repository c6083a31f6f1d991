"""What a posterior is: a module that returns a distribution q(z | x), and that distribution."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn


class Posterior(ABC):
    """A batch of distributions q(z | x) over vectors of size D.

    Those of a level with one vector every few frames are over [T', D]; below, their shapes have T'
    before D, but for the KL, which is summed over valid frames.
    """

    location_scale: ClassVar[bool] = True
    """Whether samples are `mean` plus noise times a scale; else `mean` need not be their average."""
    sequential: ClassVar[bool] = False
    """Whether `log_prob` of vectors that it did not draw takes a pass for each dimension."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Means, shape [B, D], float32: what stands for each x where one vector must."""

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
    def kl(self) -> Tensor | None:
        """KL divergence to the standard normal in nats per dimension, shape [B, D], float32.

        None: it has no closed form.
        """

    def conditional(self, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Means and log-variances of each dimension given x and the dimensions of `z` before it.

        Where q is a product of Gaussians, each given those before it; both broadcast to z [..., B, D]. None:
        it is not.
        """
        return None

    def sample_with_kl(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """`sample` and `kl` in one call: a posterior with a kernel for both at once overrides it.

        Where the KL has no closed form it is the samples' mean log-ratio, shape [B, 1].
        """
        z, log_q = self.sample_with_log_prob(seed, samples, stream)
        kl = self.kl()
        if kl is None:
            log_standard = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
            kl = (log_q - log_standard).mean(0)[:, None]
        return z, kl

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


P = TypeVar("P", bound=Posterior)


def joined(posteriors: Sequence[P]) -> P:
    """The rows of several posteriors of one network, in their order.

    Raises:
        TypeError: they are no dataclasses of tensors.
    """
    first = posteriors[0]
    if not dataclasses.is_dataclass(first):
        raise TypeError(f"rows of {type(first).__name__} cannot be joined")
    rows = {
        field.name: torch.cat([getattr(p, field.name) for p in posteriors])
        for field in dataclasses.fields(first)
        if isinstance(getattr(first, field.name), Tensor)
    }
    return dataclasses.replace(first, **rows)


class PosteriorNetwork(nn.Module, ABC):
    """Maps an encoder's summary to a `Posterior`."""

    dimension: int
    levels: int = 1
    """Parts of z that are inferred one after the other."""

    @abstractmethod
    def forward(self, summary: Tensor) -> Posterior:
        """From summaries [B, H] to q(z | x)."""

    def frames(self, summaries: Tensor, lengths: Tensor | None = None) -> Posterior:
        """From summaries [B, T', H], of which `lengths` [B] are valid, to q(z | x) over [T', D].

        Raises:
            TypeError: it is for whole sequences alone.
        """
        raise TypeError(f"{type(self).__name__} has no posterior over frames")
