"""Gaussian posterior whose dimensions may vary together: a diagonal and a few shared directions."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.ops import normal
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork

LOG_VARIANCE_RANGE = (-8.0, 4.0)
"""Of the diagonal: with exp(-8) below it a covariance factorises in float32."""


@final
@dataclass(frozen=True)
class CorrelatedGaussian(Posterior):
    """N(location, L L').

    Attributes:
        location: means, shape [B, D], float32.
        factor: L, lower triangular with a positive diagonal, shape [B, D, D], float32.
    """

    location: Tensor
    factor: Tensor

    @property
    def mean(self) -> Tensor:
        """See `Posterior.mean`."""
        return self.location

    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """See `Posterior.sample`."""
        noise = normal(seed, (samples, *self.location.shape), stream, self.location.device)
        return self.location + noise_scale * (self.factor * noise[..., None, :]).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior.log_prob`."""
        # All vectors that a row is asked about are columns of one triangular system.
        rows, size = self.location.shape
        difference = (z - self.location).reshape(-1, rows, size).permute(1, 2, 0)
        white = torch.linalg.solve_triangular(self.factor, difference, upper=False)
        squared = white.square().sum(1).t().reshape(*z.shape[:-2], rows)
        log_prob: Tensor = -0.5 * (squared + size * math.log(2 * math.pi)) - self._log_scale
        return log_prob

    def kl(self) -> Tensor:
        """See `Posterior.kl`.

        Dimension d has what it costs given those before it: KL(q(z_d) || N(0, 1)) + I(z_d; z_1 ... z_(d-1)),
        which is at least 0 and sums to the KL of the whole.
        """
        variance = self.factor.square().sum(2)
        log_conditional = 2 * self.factor.diagonal(dim1=1, dim2=2).log()
        return 0.5 * (self.location.square() + variance - 1 - log_conditional)

    def select(self, rows: Tensor | slice) -> "CorrelatedGaussian":
        """See `Posterior.select`."""
        return CorrelatedGaussian(self.location[rows], self.factor[rows])

    @property
    def _log_scale(self) -> Tensor:
        """log det L, shape [B]."""
        return self.factor.diagonal(dim1=1, dim2=2).log().sum(1)


@dataclass(frozen=True)
class LowRank:
    """Gaussian posterior with correlations: covariance diag(v) + U U'."""

    dimension: int = 32
    """Size D of the latent vector."""
    rank: int = 4
    """Directions along which dimensions vary together, the columns of U."""

    def __post_init__(self) -> None:
        """Refuse what is no covariance."""
        for name in ("dimension", "rank"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"posterior low-rank: {name} must be at least 1, got {getattr(self, name)}"
                )

    def build(self, width: int) -> "LowRankNetwork":
        """The module, for summaries [B, width]."""
        return LowRankNetwork(self, width)


@final
class LowRankNetwork(PosteriorNetwork):
    """See `LowRank`."""

    def __init__(self, config: LowRank, width: int) -> None:
        super().__init__()
        self.dimension, self.rank = config.dimension, config.rank
        self.statistics = nn.Linear(width, config.dimension * (2 + config.rank))
        with torch.no_grad():
            # As `Gaussian`: the first KL is small while the decoder learns to speak.
            self.statistics.weight.normal_(std=width**-0.5)
            self.statistics.bias.zero_()
            # Small shared directions, but not zero on average: there U and -U pull against each other.
            self.statistics.weight[2 * config.dimension :] *= 0.1 * config.rank**-0.5
            self.statistics.bias[2 * config.dimension :].normal_(std=0.2 * config.rank**-0.5)

    def forward(self, summary: Tensor) -> CorrelatedGaussian:
        """See `PosteriorNetwork.forward`."""
        size = self.dimension
        location, log_variance, shared = (
            self.statistics(summary).float().split([size, size, size * self.rank], -1)
        )
        with torch.autocast(summary.device.type, enabled=False):
            columns = shared.view(-1, size, self.rank)
            diagonal = torch.diag_embed(log_variance.clamp(*LOG_VARIANCE_RANGE).exp())
            factor: Tensor = torch.linalg.cholesky(columns @ columns.mT + diagonal)
        return CorrelatedGaussian(location, factor)
