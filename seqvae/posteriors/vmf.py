"""Von Mises-Fisher posterior: a direction, and how sure it is. The latent is a point of the unit sphere.

Davidson et al. 2018, "Hyperspherical Variational Auto-Encoders", arXiv 1804.00891; for text Xu and Durrett 2018,
arXiv 1808.10805. It is drawn by inverting the distribution function of its angle, where both papers reject
(Wood 1994): a rejection sampler needs any number of random numbers, and its pathwise gradient lacks the term for
what is rejected (Naesseth et al. 2017). Here noise is fixed by the seed and the gradient is that of the angle.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.errors import UserError
from seqvae.nn.bessel import GREATEST, log_bessel
from seqvae.ops import normal
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork

CELLS = 2048
"""Of the angle's table. At the greatest concentration a deviation of the angle is 20 of them."""
LOG_CONCENTRATION_RANGE = (-3.0, math.log(GREATEST))


@final
@dataclass(frozen=True)
class OnSphere(Posterior):
    """Densities C(kappa) exp(kappa <direction, z>) on the unit sphere of R^D, per unit of its surface.

    Attributes:
        direction: unit vectors, shape [B, D], float32.
        concentration: kappa, shape [B], float32.
    """

    location_scale: ClassVar[bool] = False

    direction: Tensor
    concentration: Tensor

    @property
    def mean(self) -> Tensor:
        """See `Posterior.mean`: the mean direction, a unit vector; the average lies within the sphere."""
        return self.direction

    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """See `Posterior.sample`; kappa is divided by the square of `noise_scale`."""
        if not noise_scale:
            return self.direction.expand(samples, -1, -1)
        rows, size = self.direction.shape
        noise = normal(seed, (samples, rows, size + 1), stream, self.direction.device)
        angle = self._angle(torch.special.ndtr(noise[..., -1].double()), noise_scale)[..., None]
        # A standard normal vector without its part along the direction points anywhere around it. Taken
        # away twice: of a vector that lies nearly along it, rounding leaves a part the first time.
        around = noise[..., :-1]
        for _ in range(2):
            along = (around * self.direction).sum(-1, keepdim=True)
            around = F.normalize(around - along * self.direction, dim=-1)
        return torch.cos(angle) * self.direction + torch.sin(angle) * around

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior.log_prob`; per unit of the sphere's surface."""
        cosine = (z * self.direction).sum(-1)
        return self.concentration * cosine + self._log_constant().float()

    def kl(self) -> Tensor:
        """KL to the uniform density on the sphere in nats, shape [B, 1] (Davidson et al., eq. 7).

        kappa A(kappa) + log C(kappa) + log area, with the mean cosine A = I_(D/2) / I_(D/2 - 1).
        """
        kappa, half = self.concentration.double(), self.direction.shape[1] / 2
        cosine = torch.exp(log_bessel(half, kappa) - log_bessel(half - 1, kappa))
        kl = kappa * cosine + self._log_constant() + log_area(self.direction.shape[1])
        return kl.float().clamp_min(0.0)[:, None]

    def select(self, rows: Tensor | slice) -> "OnSphere":
        """See `Posterior.select`."""
        return OnSphere(self.direction[rows], self.concentration[rows])

    def _log_constant(self) -> Tensor:
        """log C(kappa), shape [B], float64."""
        kappa, half = self.concentration.double(), self.direction.shape[1] / 2
        constant: Tensor = (half - 1) * kappa.log() - half * math.log(2 * math.pi)
        return constant - log_bessel(half - 1, kappa)

    def _angle(self, uniform: Tensor, noise_scale: float) -> Tensor:
        """Angles to the direction [S, B] where their distribution function is `uniform`, float32.

        Their density is proportional to sin^(D - 2) exp(kappa cos).
        """
        kappa = (self.concentration.double() / noise_scale**2)[:, None]
        middle = (torch.arange(CELLS, device=kappa.device, dtype=torch.float64) + 0.5) / CELLS
        theta = math.pi * middle
        log_mass = (self.direction.shape[1] - 2) * theta.sin().log() + kappa * theta.cos()
        passed = F.pad(log_mass.softmax(1).cumsum(1), (1, 0))
        # The table's end is 1 but for rounding.
        columns = (uniform * passed[:, -1]).t()
        cell = (torch.searchsorted(passed.detach(), columns.detach().contiguous()) - 1).clamp(
            0, CELLS - 1
        )
        below, above = passed.gather(1, cell), passed.gather(1, cell + 1)
        part = (columns - below) / (above - below).clamp_min(1e-300)
        return (math.pi / CELLS * (cell + part)).t().float()


def log_area(dimension: int) -> float:
    """log of the surface of the unit sphere in R^D: 2 pi^(D/2) / Gamma(D/2)."""
    half = dimension / 2
    return math.log(2) + half * math.log(math.pi) - math.lgamma(half)


@dataclass(frozen=True)
class Vmf:
    """Von Mises-Fisher: a point of the unit sphere; the standard prior is uniform on it."""

    dimension: int = 32
    """Size D of the vectors; the sphere has D - 1 dimensions."""

    def __post_init__(self) -> None:
        """Refuse what is no sphere."""
        if self.dimension < 2:
            raise UserError(f"posterior vmf: dimension must be at least 2, got {self.dimension}")

    def build(self, width: int) -> "VmfNetwork":
        """The module, for summaries [B, width]."""
        return VmfNetwork(self, width)


@final
class VmfNetwork(PosteriorNetwork):
    """See `Vmf`."""

    def __init__(self, config: Vmf, width: int) -> None:
        super().__init__()
        self.dimension = config.dimension
        self.statistics = nn.Linear(width, config.dimension + 1)
        with torch.no_grad():
            self.statistics.weight.normal_(std=width**-0.5)
            self.statistics.bias.zero_()
            # Kappa is D at the start, 8 nats for 32 dimensions: from near 0 the decoder would hear nothing
            # of the direction, and would not learn to listen.
            self.statistics.weight[-1] *= 0.1
            self.statistics.bias[-1] = math.log(config.dimension)

    def forward(self, summary: Tensor) -> OnSphere:
        """See `PosteriorNetwork.forward`."""
        found = self.statistics(summary).float()
        log_concentration = found[:, -1].clamp(*LOG_CONCENTRATION_RANGE)
        return OnSphere(F.normalize(found[:, :-1], dim=-1), log_concentration.exp())
