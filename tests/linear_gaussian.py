"""A VAE whose likelihood, posterior, mutual information and active units have closed forms.

x = W z + b + noise, z ~ N(0, I_D), noise ~ N(0, s^2 I_m). W's columns are orthogonal, so that the true
posterior is diagonal. x is a sequence of m scalars behind a start value, like tokens behind theirs.
"""

import math
from typing import Any

import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.decoders import Decoder
from seqvae.encoders import Encoder
from seqvae.latent import Latent
from seqvae.likelihoods import Likelihood
from seqvae.model import SequenceVAE
from seqvae.posteriors import PosteriorNetwork
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Standard

NOISE = 0.5


class Scalars(Likelihood):
    """Gaussian noise around each state; values [B, m + 1] are floats, the first one the start."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 1

    def embed(self, values: Tensor) -> Tensor:
        return values[..., None]

    def nll_steps(self, hidden: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        squared = ((values[:, 1:] - hidden[..., 0]) / NOISE).square()
        real = torch.arange(squared.shape[1]) < lengths[:, None] - 1
        return 0.5 * (squared + math.log(2 * math.pi * NOISE**2)) * real

    def nll(self, hidden: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        return self.nll_steps(hidden, values, lengths).sum(1)


class Affine(Decoder):
    """State t is (W z + b)_t, whatever the past."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.width = 1
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        assert z is not None
        return (z @ self.weight.t() + self.bias)[..., None]

    def start(self, z: Tensor | None, batch: int, capacity: int) -> Any:  # noqa: ANN401
        raise NotImplementedError

    def step(self, x: Tensor, state: Any) -> Tensor:  # noqa: ANN401
        raise NotImplementedError

    def select(self, state: Any, rows: Tensor) -> None:  # noqa: ANN401
        raise NotImplementedError


class Everything(Encoder):
    """The sequence itself, without its start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return x[:, 1:, 0]


class TruePosterior(PosteriorNetwork):
    """p(z | x), made wrong by moving its means and adding to its log-variances."""

    def __init__(self, weight: Tensor, bias: Tensor, move: float, widen: float) -> None:
        super().__init__()
        self.dimension = weight.shape[1]
        self.weight, self.bias, self.move, self.widen = weight, bias, move, widen

    def forward(self, summary: Tensor) -> DiagonalGaussian:
        precision = 1 + self.weight.square().sum(0) / NOISE**2
        location = (summary - self.bias) @ self.weight / NOISE**2 / precision + self.move
        return DiagonalGaussian(location, (self.widen - precision.log()).expand_as(location))


class LinearGaussian:
    """The model, its data and its truths.

    Args:
        ratios: signal to noise |w_d|^2 / s^2 of each latent dimension.
        steps: m, at least as many.
        move: added to every posterior mean; 0 is the truth.
        widen: added to every posterior log-variance; 0 is the truth.
    """

    def __init__(
        self, ratios: list[float], steps: int = 6, move: float = 0.0, widen: float = 0.0
    ) -> None:
        self.ratios = torch.tensor(ratios)
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(steps, len(ratios), generator=generator)).Q
        self.weight = basis * self.ratios.sqrt() * NOISE
        self.bias = torch.linspace(-1, 1, steps)
        self.model = SequenceVAE(
            Latent(
                Everything(steps),
                TruePosterior(self.weight, self.bias, move, widen),
                Standard().build(len(ratios)),
            ),
            Affine(self.weight, self.bias),
            Scalars(),
        )

    def batch(self, size: int, seed: int = 1) -> Batch:
        """Sequences drawn from the model."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(size, len(self.ratios), generator=generator)
        noise = torch.randn(size, len(self.bias), generator=generator)
        x = z @ self.weight.t() + self.bias + NOISE * noise
        values = torch.cat([torch.zeros(size, 1), x], 1)
        return Batch(values, torch.full((size,), values.shape[1]))

    def nll(self, batch: Batch) -> Tensor:
        """-log p(x) in nats, shape [B]."""
        covariance = self.weight @ self.weight.t() + NOISE**2 * torch.eye(len(self.bias))
        exact = torch.distributions.MultivariateNormal(self.bias, covariance)
        log_prob: Tensor = exact.log_prob(batch.values[:, 1:])  # type: ignore[no-untyped-call]
        return -log_prob

    @property
    def mutual_information(self) -> float:
        """I(x; z) in nats: 0.5 log det(I + W'W / s^2); also the mean KL."""
        return 0.5 * float(torch.log1p(self.ratios).sum())

    @property
    def prior_gap(self) -> float:
        """Mean reconstruction with z ~ p(z) less that with z ~ p(z | x): tr(W'W) / s^2, in nats."""
        return float(self.ratios.sum())
