"""Diagonal Gaussian posterior, optionally with batch-normalised means (BN-VAE) or a committed rate (delta-VAE)."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.batch import padding_mask
from seqvae.errors import UserError
from seqvae.ops import gaussian_kl, gaussian_latent
from seqvae.posteriors.frames import FrameGaussian
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork

# exp(-12) = 6e-6 of variance is 6 nats a dimension: no text needs more, and KL stays finite.
LOG_VARIANCE_RANGE = (-12.0, 4.0)


@final
@dataclass(frozen=True)
class DiagonalGaussian(Posterior):
    """N(mean, diag(exp(log_variance))).

    Attributes:
        location: means, shape [B, D], float32.
        log_variance: natural log of the variances, shape [B, D], float32.
    """

    location: Tensor
    log_variance: Tensor

    @property
    def mean(self) -> Tensor:
        """See `Posterior.mean`."""
        return self.location

    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """See `Posterior.sample`."""
        z, _ = gaussian_latent(
            self.location,
            self.log_variance,
            seed,
            offset=stream,
            samples=samples,
            noise_scale=noise_scale,
        )
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior.log_prob`."""
        squared = (z - self.location).square() * torch.exp(-self.log_variance)
        return -0.5 * (squared + self.log_variance + math.log(2 * math.pi)).sum(-1)

    def kl(self) -> Tensor:
        """See `Posterior.kl` (Kingma and Welling 2014, appendix B)."""
        return gaussian_kl(self.location, self.log_variance)

    def conditional(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `Posterior.conditional`: the same at every z."""
        return self.location, self.log_variance

    def sample_with_kl(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """See `Posterior.sample_with_kl`: the statistics are read once."""
        return gaussian_latent(
            self.location, self.log_variance, seed, offset=stream, samples=samples
        )

    def select(self, rows: Tensor | slice) -> "DiagonalGaussian":
        """See `Posterior.select`."""
        return DiagonalGaussian(self.location[rows], self.log_variance[rows])


def diagonal_kl(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor] | None) -> Tensor:
    """KL(q || p) in nats per dimension of diagonal Gaussians, shape [..., D].

    Args:
        q: means and log-variances, [..., D].
        p: the same; None: the standard normal.
    """
    location, log_variance = q
    if p is not None:
        # In units of p: an affine map of both leaves the KL as it is.
        location = (location - p[0]) * torch.exp(-0.5 * p[1])
        log_variance = log_variance - p[1]
    return 0.5 * (location.square() + torch.expm1(log_variance) - log_variance)


def centred_kl(log_variance: float) -> float:
    """KL(N(0, exp(log_variance)) || N(0, 1)) in nats: the least at that variance, and at any below it from 1 down."""
    return 0.5 * (math.expm1(log_variance) - log_variance)


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian posterior."""

    dimension: int = 32
    """Size D of the latent vector."""
    batch_norm: float | None = None
    """Scale gamma of batch normalisation on the means (BN-VAE, Zhu et al. 2020, arXiv 2004.12585):
    the KL is then at least D gamma^2 / 2 nats by construction. None: off."""
    committed: float | None = None
    """Committed rate delta in nats (delta-VAE, Razavi et al. 2019, arXiv 1901.03416): all variances stay below
    the one at which the KL of D centred Gaussians to the standard normal is delta, so that no text's KL is
    less. A floor of the KL, not of what z tells of the text. None: off."""

    def __post_init__(self) -> None:
        """Refuse a committed rate that no variance gives."""
        if self.committed is None:
            return
        most = self.dimension * centred_kl(LOG_VARIANCE_RANGE[0] + 1)
        if not 0 < self.committed <= most:
            raise UserError(
                f"--model.posterior.committed must be above 0 and at most {most:.1f} nats for "
                f"{self.dimension} dimensions, got {self.committed:g}"
            )

    @property
    def greatest_log_variance(self) -> float | None:
        """The bound that commits the rate, the same in all dimensions; None: there is none."""
        if self.committed is None:
            return None
        low, high = LOG_VARIANCE_RANGE[0], 0.0
        # Halved 60 times: 12 / 2^60 is below the spacing of float64 there. `low` keeps the KL at or above.
        for _ in range(60):
            middle = (low + high) / 2
            if centred_kl(middle) * self.dimension >= self.committed:
                low = middle
            else:
                high = middle
        return low

    def build(self, width: int) -> "GaussianNetwork":
        """The module, for summaries [B, width]."""
        return GaussianNetwork(self, width)


@final
class GaussianNetwork(PosteriorNetwork):
    """See `Gaussian`."""

    def __init__(self, config: Gaussian, width: int) -> None:
        super().__init__()
        self.dimension = config.dimension
        self.greatest = config.greatest_log_variance
        self.statistics = nn.Linear(width, 2 * config.dimension)
        with torch.no_grad():
            # Small means at the start keep the first KL near zero while the decoder learns to speak.
            self.statistics.weight.normal_(std=width**-0.5)
            self.statistics.bias.zero_()
        self.norm: nn.BatchNorm1d | None = None
        if config.batch_norm is not None:
            self.norm = nn.BatchNorm1d(config.dimension)
            self.norm.weight.data.fill_(config.batch_norm)
            self.norm.weight.requires_grad_(False)

    def forward(self, summary: Tensor) -> DiagonalGaussian:
        """See `PosteriorNetwork.forward`."""
        location, log_variance = self.statistics(summary).float().chunk(2, -1)
        return DiagonalGaussian(self._normed(location), self._bounded(log_variance))

    def frames(self, summaries: Tensor, lengths: Tensor | None = None) -> FrameGaussian:
        """See `PosteriorNetwork.frames`."""
        location, log_variance = self.statistics(summaries).float().chunk(2, -1)
        mask = None if lengths is None else padding_mask(lengths, summaries.shape[1])
        if self.norm is not None:
            rows = location.flatten(0, 1)
            if mask is not None and self.training:
                # Padding has no part in the batch's statistics.
                real = mask.flatten().nonzero().squeeze(1)
                normed = torch.zeros_like(rows)
                location = normed.index_copy(0, real, self._normed(rows[real])).view_as(location)
            else:
                location = self._normed(rows).view_as(location)
        return FrameGaussian(location, self._bounded(log_variance), mask)

    def _bounded(self, log_variance: Tensor) -> Tensor:
        """Log-variances in their range."""
        if self.greatest is not None:
            # Smooth: a clamp would give no gradient at the bound, and the start lies beyond it.
            log_variance = self.greatest - F.softplus(-log_variance)
        return log_variance.clamp(*LOG_VARIANCE_RANGE)

    def _normed(self, location: Tensor) -> Tensor:
        """Means [N, D], normalised over the batch if asked for."""
        if self.norm is None:
            return location
        alone = self.training and len(location) == 1
        if alone:  # one row has no batch variance: use the running statistics
            self.norm.eval()
        location = self.norm(location)
        if alone:
            self.norm.train()
        return location
