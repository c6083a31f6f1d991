"""Diagonal Gaussian posterior, optionally with batch-normalised means (BN-VAE)."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.batch import padding_mask
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


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian posterior."""

    dimension: int = 32
    """Size D of the latent vector."""
    batch_norm: float | None = None
    """Scale gamma of batch normalisation on the means (BN-VAE, Zhu et al. 2020, arXiv 2004.12585):
    the KL is then at least D gamma^2 / 2 nats by construction. None: off."""

    def build(self, width: int) -> "GaussianNetwork":
        """The module, for summaries [B, width]."""
        return GaussianNetwork(self, width)


@final
class GaussianNetwork(PosteriorNetwork):
    """See `Gaussian`."""

    def __init__(self, config: Gaussian, width: int) -> None:
        super().__init__()
        self.dimension = config.dimension
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
        return DiagonalGaussian(self._normed(location), log_variance.clamp(*LOG_VARIANCE_RANGE))

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
        return FrameGaussian(location, log_variance.clamp(*LOG_VARIANCE_RANGE), mask)

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
