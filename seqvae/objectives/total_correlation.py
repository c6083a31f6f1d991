"""The KL in three parts, weighed apart (beta-TC-VAE, Chen et al. 2018, arXiv 1802.04942)."""

from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from seqvae.errors import UserError
from seqvae.objectives.crossed import Crossed
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo
from seqvae.schedules import Constant, ScheduleChoice


@dataclass(frozen=True)
class TotalCorrelation:
    """Reconstruction + alpha I(x; z) + beta TC(z) + gamma sum_d KL(q(z_d) || p(z_d)) (eq. 4 of the paper): a
    large beta makes the dimensions of z independent of each other without taking information from them.

    The parts are estimated from each batch: large batches (--tokens-per-batch) make them sharp. Batches hold
    sentences of like lengths, which stand for all: what z says of the length is not counted.
    """

    alpha: float = 1.0
    """Weight of the mutual information of a sequence and its z."""
    beta: float = 4.0
    """Weight of the total correlation: how far all dimensions together are from independence."""
    gamma: float = 1.0
    """Weight of the dimensions' own distances to the prior."""
    weight: ScheduleChoice = field(default_factory=Constant)
    """Factor on all three over the run."""

    def __post_init__(self) -> None:
        """Refuse what would reward a distance."""
        for name in ("alpha", "beta", "gamma"):
            if not getattr(self, name) >= 0:
                raise UserError(
                    f"objective total-correlation: {name} must be at least 0, got {getattr(self, name):g}"
                )

    def build(self) -> "TotalCorrelationObjective":
        """The objective."""
        return TotalCorrelationObjective(self)


@dataclass(frozen=True)
class Parts:
    """What adds up to the KL, 0-d, nats per sequence: exactly to that of the sample they are estimated from.

    Attributes:
        information: I(x; z) under the aggregate posterior.
        total_correlation: KL(q(z) || prod_d q(z_d)).
        dimension_wise: sum_d KL(q(z_d) || p(z_d)).
    """

    information: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor


def parts(crossed: Crossed, sequences: int) -> Parts:
    """The three parts of the KL (Chen et al. 2018, eq. 2), estimated from a batch.

    Args:
        crossed: of the batch.
        sequences: N of the training split; see `Crossed.aggregate`.
    """
    whole, each = crossed.aggregate(sequences)
    product = each.sum(1)
    return Parts(
        (crossed.own - whole).mean(),
        (whole - product).mean(),
        (product - crossed.log_prior.sum(1)).mean(),
    )


@final
class TotalCorrelationObjective(Objective):
    """See `TotalCorrelation`."""

    crossed = True

    def __init__(self, config: TotalCorrelation) -> None:
        self.config = config

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        weight = self.config.weight(progress)
        if terms.crossed is None:
            return negative_elbo(terms, weight)
        found = parts(terms.crossed, self.sequences)
        penalised = (
            self.config.alpha * found.information
            + self.config.beta * found.total_correlation
            + self.config.gamma * found.dimension_wise
        )
        loss = negative_elbo(terms, weight, penalised)
        shown = {name: value.detach() for name, value in vars(found).items()}
        return Loss(loss.total, {**loss.shown, **shown})
