"""A normalizing flow as the prior: noise, bent until it lies where posteriors do.

The flow is of coupling layers, which are as fast one way as the other: training and likelihoods go from z
to noise, sampling from noise to z. Of autoregressive ones, such as zuko's spline and masked flows, one way
takes D passes; and what samples must go into an ONNX graph, which has no distribution objects.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.nn.coupling import AffineCoupling, TriangularAffine
from seqvae.ops import normal
from seqvae.priors.prior import Prior


@dataclass(frozen=True)
class Flow:
    """Affine couplings over a learned Gaussian (RealNVP): any smooth density."""

    layers: int = 8
    """Coupling layers."""
    width: int = 128
    """Of the two hidden layers in each."""

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        for name in ("layers", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"prior flow: {name} must be at least 1, got {getattr(self, name)}")

    def build(self, dimension: int, items: int = 0) -> "FlowPrior":
        """The module, for vectors of size `dimension`; what items there are does not matter."""
        return FlowPrior(self, dimension)


@final
class FlowPrior(Prior):
    """See `Flow`; N(0, I) at the start."""

    def __init__(self, config: Flow, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.couplings = nn.ModuleList(
            [AffineCoupling(dimension, config.width, number) for number in range(config.layers)]
        )
        self.affine = TriangularAffine(dimension)

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`; in float32, whatever the model computes in."""
        with torch.autocast(z.device.type, enabled=False):
            return self.density(z.float(), self.affine.inverse_matrix)

    def density(self, z: Tensor, inverse: Tensor) -> Tensor:
        """`log_prob` with the inverse of the affine map's matrix, which export makes once."""
        x, log_determinant = self.affine.inverse(z, inverse)
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, AffineCoupling)
            x, more = coupling.inverse(x)
            log_determinant = log_determinant + more
        return log_determinant - 0.5 * (x.square() + math.log(2 * math.pi)).sum(-1)

    def sample(self, seed: Tensor, size: int) -> Tensor:
        """See `Prior.sample`."""
        return self.from_noise(normal(seed, (size, self.dimension)))

    def from_noise(self, noise: Tensor) -> Tensor:
        """Vectors [B, D] of standard normal noise [B, D]."""
        x = noise
        for coupling in self.couplings:
            x = coupling(x)
        z: Tensor = self.affine(x)
        return z
