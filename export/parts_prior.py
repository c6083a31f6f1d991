"""The prior of a text model as ONNX graphs: its samples, and the density that scores need.

What is learned is made ready here once: a triangular matrix inverted, weights turned into bounds, and
pseudo-inputs read.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.export.noise import Normals
from seqvae.export.onnx_export import export_module
from seqvae.priors import Prior
from seqvae.priors.by_label import GaussianPrior
from seqvae.priors.flow import FlowPrior
from seqvae.priors.ladder import LadderPrior
from seqvae.priors.mixture import MixturePrior, mixture_bounds, mixture_choose, mixture_log_prob
from seqvae.priors.standard import StandardPrior
from seqvae.priors.vamp import VampPrior

if TYPE_CHECKING:
    import onnx

_ROWS = 3


def export(prior: Prior, opset: int) -> "dict[str, onnx.ModelProto]":
    """The parts `prior` and, where it is not the standard normal, `density`.

    Raises:
        UserError: no graph is written for this prior.
    """
    draw: nn.Module
    density: nn.Module | None = None
    if isinstance(prior, StandardPrior):
        draw = Normals(prior.dimension)
    elif isinstance(prior, MixturePrior | VampPrior):
        draw, density = _MixtureSamples(prior), _MixtureDensity(prior)
    elif isinstance(prior, LadderPrior | GaussianPrior):
        draw, density = _FromNoise(prior), _Density(prior)
    elif isinstance(prior, FlowPrior):
        draw, density = _FromNoise(prior), _FlowDensity(prior)
    else:
        raise UserError(f"export: no graph is written for the prior {type(prior).__name__}")
    inputs = {"seed": torch.arange(_ROWS)[:, None], "sample": torch.arange(_ROWS)[:, None]}
    dynamic = {"seed": {0: "B"}, "sample": {0: "B"}}
    parts = {"prior": export_module(draw.eval(), inputs, ["z"], dynamic, opset=opset)}
    if density is not None:
        z = {"z": torch.zeros(_ROWS, prior.dimension)}
        parts["density"] = export_module(
            density.eval(), z, ["log_prob"], {"z": {0: "N"}}, opset=opset
        )
    return parts


def _keep(module: nn.Module, **values: Tensor) -> None:
    """Tensors of `module` that are the same for every input."""
    for name, value in values.items():
        module.register_buffer(name, value.detach().clone())


class _MixtureSamples(nn.Module):
    bounds: Tensor
    means: Tensor
    log_variances: Tensor

    def __init__(self, prior: MixturePrior | VampPrior) -> None:
        super().__init__()
        self.normals = Normals(prior.dimension + 1)
        log_weights, means, log_variances = prior.components()
        bounds = mixture_bounds(log_weights)
        _keep(self, bounds=bounds, means=means, log_variances=log_variances)

    def forward(self, seed: Tensor, sample: Tensor) -> Tensor:
        noise = self.normals(seed, sample)
        return mixture_choose(noise, self.bounds, self.means, self.log_variances)


class _MixtureDensity(nn.Module):
    log_weights: Tensor
    means: Tensor
    log_variances: Tensor

    def __init__(self, prior: MixturePrior | VampPrior) -> None:
        super().__init__()
        log_weights, means, log_variances = prior.components()
        _keep(self, log_weights=log_weights, means=means, log_variances=log_variances)

    def forward(self, z: Tensor) -> Tensor:
        return mixture_log_prob(z, self.log_weights, self.means, self.log_variances)


class _FromNoise(nn.Module):
    def __init__(self, prior: FlowPrior | LadderPrior | GaussianPrior) -> None:
        super().__init__()
        self.normals, self.prior = Normals(prior.dimension), prior

    def forward(self, seed: Tensor, sample: Tensor) -> Tensor:
        return self.prior.from_noise(self.normals(seed, sample))


class _Density(nn.Module):
    def __init__(self, prior: LadderPrior | GaussianPrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, z: Tensor) -> Tensor:
        return self.prior.log_prob(z)


class _FlowDensity(nn.Module):
    inverse: Tensor

    def __init__(self, prior: FlowPrior) -> None:
        super().__init__()
        self.prior = prior
        # No runtime solves triangular systems.
        _keep(self, inverse=prior.affine.inverse_matrix)

    def forward(self, z: Tensor) -> Tensor:
        return self.prior.density(z, self.inverse)
