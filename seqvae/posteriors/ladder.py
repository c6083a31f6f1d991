"""A posterior of several levels, inferred from the top down."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.nn.ladder import Statistics, TopDown
from seqvae.ops import normal
from seqvae.posteriors.gaussian import diagonal_kl
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork


@final
@dataclass(frozen=True)
class LadderPosterior(Posterior):
    """q(z_1 | x) q(z_2 | x, z_1) ...: each level a diagonal Gaussian given those above it.

    Attributes:
        location: means as far as x alone decides them, shape [B, D], float32.
        log_variance: natural log of the variances as far as x alone decides them, shape [B, D], float32.
        context: what x tells the hidden units of the levels, shape [B, L - 1, W], float32.
        center: the mean of each level given the means above it, shape [B, D].
        levels: what the levels above say.
    """

    location_scale: ClassVar[bool] = False

    location: Tensor
    log_variance: Tensor
    context: Tensor
    center: Tensor
    levels: TopDown

    @property
    def mean(self) -> Tensor:
        """See `Posterior.mean`: `center`, which is within the mass but not its average."""
        return self.center

    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """See `Posterior.sample`."""
        return self._draw(seed, samples, stream, noise_scale)[0]

    def sample_with_log_prob(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """See `Posterior.sample_with_log_prob`: the levels are gone through once."""
        z, statistics = self._draw(seed, samples, stream)
        return z, _log_prob(z, statistics)

    def sample_with_kl(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """See `Posterior.sample_with_kl`: by dimension, [B, D], given the samples of the levels above."""
        z, statistics = self._draw(seed, samples, stream)
        return z, diagonal_kl(statistics, None).mean(0)

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior.log_prob`."""
        return _log_prob(z, self.conditional(z))

    def conditional(self, z: Tensor) -> Statistics:
        """See `Posterior.conditional`."""
        return self.levels.at(z, (self.location, self.log_variance), self.context)

    def kl(self) -> None:
        """See `Posterior.kl`: the expectation over the levels above has no closed form."""
        return

    def select(self, rows: Tensor | slice) -> "LadderPosterior":
        """See `Posterior.select`."""
        return LadderPosterior(
            self.location[rows],
            self.log_variance[rows],
            self.context[rows],
            self.center[rows],
            self.levels,
        )

    def _draw(
        self, seed: Tensor, samples: int, stream: int, noise_scale: float = 1.0
    ) -> tuple[Tensor, Statistics]:
        noise = normal(seed, (samples, *self.location.shape), stream, self.location.device)
        return self.levels.draw(
            noise * noise_scale, (self.location, self.log_variance), self.context
        )


def _log_prob(z: Tensor, statistics: Statistics) -> Tensor:
    mean, log_variance = statistics
    squared = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + math.log(2 * math.pi)).sum(-1)


@dataclass(frozen=True)
class Ladder:
    """Several levels, each told by those above it: what is coarse first. Goes with model.prior:ladder."""

    dimension: int = 32
    """Size D of all levels together, shared out equally."""
    levels: int = 2
    """Levels L."""
    width: int = 128
    """Hidden units with which a level looks at those above it."""

    def __post_init__(self) -> None:
        """Refuse what is no ladder."""
        check_levels("posterior", self.levels, self.width)
        if self.dimension < self.levels:
            raise UserError(
                f"posterior ladder: dimension must be at least levels, one a level; got {self.dimension} "
                f"for {self.levels} levels"
            )

    def build(self, width: int) -> "LadderNetwork":
        """The module, for summaries [B, width]."""
        return LadderNetwork(self, width)


def check_levels(side: str, levels: int, width: int) -> None:
    """Refuse what is no ladder; `side` is posterior or prior.

    Raises:
        UserError: names the field.
    """
    if levels < 2:
        raise UserError(
            f"{side} ladder: levels must be at least 2, got {levels}; one level is posterior:gaussian with "
            "prior:standard"
        )
    if width < 1:
        raise UserError(f"{side} ladder: width must be at least 1, got {width}")


@final
class LadderNetwork(PosteriorNetwork):
    """See `Ladder`; at the start a level does not look at those above it, and q is that of `Gaussian`."""

    def __init__(self, config: Ladder, width: int) -> None:
        super().__init__()
        self.dimension, self.levels = config.dimension, config.levels
        self.statistics = nn.Linear(width, 2 * config.dimension)
        with torch.no_grad():
            # As `Gaussian`: the first KL is small while the decoder learns to speak.
            self.statistics.weight.normal_(std=width**-0.5)
            self.statistics.bias.zero_()
        self.context = nn.Linear(width, (config.levels - 1) * config.width, bias=False)
        self.top_down = TopDown(config.dimension, config.levels, config.width)

    def forward(self, summary: Tensor) -> LadderPosterior:
        """See `PosteriorNetwork.forward`."""
        location, log_variance = self.statistics(summary).float().chunk(2, -1)
        context = self.context(summary).float().unflatten(-1, (self.levels - 1, -1))
        base = location, log_variance
        center, _ = self.top_down.draw(torch.zeros_like(location), base, context)
        return LadderPosterior(location, log_variance, context, center, self.top_down)
