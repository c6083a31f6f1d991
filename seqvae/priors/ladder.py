"""A prior of several levels: the first a standard normal, each other a Gaussian given those above it."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.nn.ladder import Statistics, TopDown
from seqvae.ops import normal
from seqvae.posteriors.ladder import check_levels
from seqvae.priors.prior import Prior


@dataclass(frozen=True)
class Ladder:
    """p(z_1) p(z_2 | z_1) ...: what is fine is expected by what is coarse."""

    levels: int = 2
    """Levels L, as many as the posterior has."""
    width: int = 128
    """Hidden units with which a level looks at those above it."""

    def __post_init__(self) -> None:
        """Refuse what is no ladder."""
        check_levels("prior", self.levels, self.width)

    def build(self, dimension: int, items: int = 0) -> "LadderPrior":
        """The module, for vectors of size `dimension`; what items there are does not matter.

        Raises:
            UserError: there are fewer dimensions than levels.
        """
        if dimension < self.levels:
            raise UserError(
                f"prior ladder: levels must be at most the latent's dimension, {dimension}; got {self.levels}"
            )
        return LadderPrior(self, dimension)


@final
class LadderPrior(Prior):
    """See `Ladder`; N(0, I) at the start."""

    def __init__(self, config: Ladder, dimension: int) -> None:
        super().__init__()
        self.dimension, self.levels = dimension, config.levels
        self.top_down = TopDown(dimension, config.levels, config.width)

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`; in float32, whatever the model computes in."""
        mean, log_variance = self.conditional(z)
        squared = (z - mean).square() * torch.exp(-log_variance)
        return -0.5 * (squared + log_variance + math.log(2 * math.pi)).sum(-1)

    def conditional(self, z: Tensor) -> Statistics:
        """See `Prior.conditional`."""
        nothing = torch.zeros_like(z, dtype=torch.float32)
        return self.top_down.at(z.float(), (nothing, nothing))

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`."""
        return self.from_noise(normal(seed, (size, self.dimension)))

    def from_noise(self, noise: Tensor) -> Tensor:
        """Vectors [B, D] of standard normal noise [B, D]."""
        nothing = torch.zeros_like(noise)
        return self.top_down.draw(noise, (nothing, nothing))[0]

    def redraw(self, z: Tensor, noise: Tensor, kept: int) -> Tensor:
        """Vectors [B, D] with the first `kept` levels of `z` [B, D] and all below drawn anew, given those.

        Args:
            z: vectors.
            noise: standard normal, [B, D]; what falls on the kept levels is not used.
            kept: levels from the top, 0 to L.
        """
        mean, log_variance = self.conditional(z)
        # The noise of which the prior would have made z: what is kept comes out as it was.
        own = (z - mean) * torch.exp(-0.5 * log_variance)
        known = sum(self.top_down.sizes[:kept])
        return self.from_noise(torch.cat([own[:, :known], noise[:, known:]], -1))
