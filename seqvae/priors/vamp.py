"""VampPrior: a mixture of the posteriors of pseudo-inputs that are learned.

Tomczak and Welling 2018, "VAE with a VampPrior", arXiv 1705.07120, eq. 9: the prior that maximises the ELBO is the
average posterior over the data; this one averages over K inputs in the data's place. A pseudo-input is a
text of soft tokens: vectors where a text has its tokens' embeddings. They go through the model's own encoder and
posterior, which all components share and which learn from both sides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.posteriors.posterior import Posterior
from seqvae.priors.mixture import mixture_log_prob, mixture_sample
from seqvae.priors.prior import Prior

Infer = Callable[[Tensor, Tensor | None], Posterior]
"""From embedded values [K, T, E] and their lengths [K] (None: all whole) to posteriors."""


@dataclass(frozen=True)
class Vamp:
    """The average posterior of learned pseudo-inputs (VampPrior)."""

    components: int = 32
    """Pseudo-inputs K. Each step encodes them beside its batch."""
    pieces: int = 8
    """Soft tokens of each."""

    def __post_init__(self) -> None:
        """Refuse what is no text."""
        for name in ("components", "pieces"):
            if getattr(self, name) < 1:
                raise UserError(f"prior vamp: {name} must be at least 1, got {getattr(self, name)}")

    def build(self, dimension: int, items: int = 0) -> "VampPrior":
        """The module, for vectors of size `dimension`; usable once it is attached."""
        return VampPrior(self, dimension)


@final
class VampPrior(Prior):
    """See `Vamp`."""

    def __init__(self, config: Vamp, dimension: int) -> None:
        super().__init__()
        self.config, self.dimension = config, dimension

    def attach(self, width: int, infer: Infer) -> None:
        """Say who reads the pseudo-inputs, which are made here.

        Args:
            width: E, of a token's embedding.
            infer: the level's encoder and posterior. They stay the level's: their weights are no part of
                this module.
        """
        size = (self.config.components, self.config.pieces, width)
        # As token embeddings at the start.
        self.inputs = nn.Parameter(0.02 * torch.randn(size))
        self.infer = infer

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """log pi [K], means [K, D] and log-variances [K, D].

        Raises:
            TypeError: the posterior is not a diagonal Gaussian.
        """
        lengths = torch.full((len(self.inputs),), self.inputs.shape[1], device=self.inputs.device)
        found = self.infer(self.inputs, lengths)
        if not isinstance(found, DiagonalGaussian):
            raise TypeError(f"no VampPrior of {type(found).__name__} posteriors")
        log_weights = torch.full((len(found.location),), -math.log(len(found.location)))
        return log_weights.to(found.location.device), found.location, found.log_variance

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`."""
        return mixture_log_prob(z, *self.components())

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`."""
        return mixture_sample(seed, size, *self.components())
