"""A capacity for the KL that grows over the run."""

from dataclasses import dataclass, field
from typing import Any, final

from seqvae.errors import UserError
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo
from seqvae.schedules import Linear, ScheduleChoice


def _growing() -> Linear:
    return Linear(0.0, 8.0, 0.0, 0.5)


@dataclass(frozen=True)
class Capacity:
    """Reconstruction + gamma |KL - C|: the latent is given its capacity C nat by nat, so that the most useful
    factor is learned first and alone (Burgess et al. 2018, arXiv 1804.03599, eq. 8).

    KL is the batch's mean. Unlike a rate target, which finds the weight that holds the rate, gamma is the same
    on both sides: it must be above that weight, and below C it pays for KL whether it informs or not.
    """

    gamma: float = 2.0
    """Weight of the distance to the capacity. Far above 1 it is met at once by a shift that says nothing: on
    sentences of known factors, KL 8.6 nats of which 0.0 inform at 10, 1.0 at 1 (500 steps)."""
    capacity: ScheduleChoice = field(default_factory=_growing)
    """C over the run, in nats per sequence."""

    def __post_init__(self) -> None:
        """Refuse what would not hold the KL."""
        if not self.gamma > 0:
            raise UserError(f"objective capacity: gamma must be above 0, got {self.gamma:g}")

    def build(self) -> "CapacityObjective":
        """The objective."""
        return CapacityObjective(self)


@final
class CapacityObjective(Objective):
    """See `Capacity`."""

    def __init__(self, config: Capacity) -> None:
        self.config = config

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        capacity = self.config.capacity(progress)
        loss = negative_elbo(terms, self.config.gamma, (terms.kl.mean() - capacity).abs())
        return Loss(
            loss.total, {**loss.shown, "capacity": capacity} if terms.kl_dimensions else loss.shown
        )

    def criterion(self, measured: dict[str, Any]) -> float:
        """See `Objective.criterion`: before the end the bound may be lower, at less than the capacity."""
        distance = abs(measured["kl"] - self.config.capacity(1.0))
        return float(measured["reconstruction"] + self.config.gamma * distance)
