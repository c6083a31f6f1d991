"""Wasserstein autoencoder: all latents together shall look like the prior (WAE-MMD)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.objectives.latents import Latents
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the kernel, as a part of the mean squared distance of two vectors of the standard normal."""

Kernel = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Mmd:
    """Reconstruction + weight * MMD(q(z), p(z)), q(z) being the mixture of all posteriors (Tolstikhin et al.
    2018, arXiv 1711.01558, algorithm 2). Each posterior may then tell all of its sequence; no KL is paid. A
    batch stands for all sequences; as those of a text batch are of similar length, z is kept from telling it.
    """

    weight: float = 10.0
    """Nats per unit of MMD, which is between 0 and 14."""
    log_variance: float = 0.01
    """Nats for each nat by which a log-variance is off 0, so that posteriors keep a width (Rubenstein et al.
    2018, arXiv 1802.03761, sec. 3). 0: off; they then shrink to points."""

    def __post_init__(self) -> None:
        """Refuse what would reward a mismatch."""
        if self.weight <= 0 or self.log_variance < 0:
            raise UserError(
                "objective mmd: weight must be above 0 and log-variance not below 0, got "
                f"{self.weight:g} and {self.log_variance:g}"
            )

    def build(self) -> "MmdObjective":
        """The objective."""
        return MmdObjective(self)


@final
class MmdObjective(Objective):
    """See `Mmd`."""

    aggregate = True

    def __init__(self, config: Mmd) -> None:
        self.config = config

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        loss = negative_elbo(terms, 0.0)
        if terms.latents is None:
            return loss
        distance = mean_mmd(terms.latents)
        total = loss.total + self.config.weight * distance
        total = total + self.config.log_variance * terms.latents.off_unit_variance
        return Loss(total, {**loss.shown, "mmd": distance.detach()})

    def criterion(self, measured: dict[str, float]) -> float:
        """See `Objective.criterion`."""
        return measured["reconstruction"] + self.config.weight * measured["mmd"]


def mean_mmd(latents: Latents) -> Tensor:
    """MMD of the posteriors' samples and the prior's, averaged over S, 0-d.

    Samples of one posterior do not meet: of the mixture of all posteriors they are no independent draws.
    """
    pairs = zip(latents.posterior, latents.prior, strict=True)
    return torch.stack([mmd(drawn, prior) for drawn, prior in pairs]).mean()


def inverse_multiquadratic(squared: Tensor, dimension: int) -> Tensor:
    """sum_s C_s / (C_s + |x - y|^2) with C_s = 2 D s: heavy tails pull vectors that are far off too.

    Args:
        squared: |x - y|^2 of any shape.
        dimension: D.
    """
    constants = torch.tensor(SCALES, device=squared.device) * 2 * dimension
    return sum((c / (c + squared) for c in constants), torch.zeros_like(squared))


def mmd(x: Tensor, y: Tensor, kernel: Kernel = inverse_multiquadratic) -> Tensor:
    """Squared maximum mean discrepancy of what x and y are drawn from, 0-d.

    The U-statistic (Gretton et al. 2012, JMLR 13, eq. 3): unbiased, so around 0, and as often below it, where
    both are the same. 0 for a single vector.

    Args:
        x: shape [N, D].
        y: shape [M, D].
        kernel: of squared distances and D.
    """
    if len(x) < 2 or len(y) < 2:
        return x.new_zeros(())
    dimension = x.shape[1]
    between = kernel(squared_distances(x, y), dimension).mean()
    return _within(x, kernel) + _within(y, kernel) - 2 * between


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2, shape [N, M], in float32 whatever autocast says."""
    with torch.autocast(x.device.type, enabled=False):
        x, y = x.float(), y.float()
        norms = x.square().sum(1)[:, None] + y.square().sum(1)
        return (norms - 2 * x @ y.t()).clamp_min(0.0)


def _within(x: Tensor, kernel: Kernel) -> Tensor:
    """Mean of the kernel over all pairs of different rows."""
    values = kernel(squared_distances(x, x), x.shape[1])
    return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))
