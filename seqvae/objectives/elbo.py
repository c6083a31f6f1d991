"""The evidence lower bound, its KL weighted by a schedule."""

from dataclasses import dataclass, field
from typing import final

from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo
from seqvae.schedules import Constant, ScheduleChoice


@dataclass(frozen=True)
class Elbo:
    """ELBO; beta 1 is the plain VAE (Kingma and Welling 2014), another constant the beta-VAE."""

    beta: ScheduleChoice = field(default_factory=Constant)
    """Weight of the KL over the run."""

    def build(self) -> "ElboObjective":
        """The objective."""
        return ElboObjective(self)


@final
class ElboObjective(Objective):
    """See `Elbo`."""

    def __init__(self, config: Elbo) -> None:
        self.beta = config.beta

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        return negative_elbo(terms, self.beta(progress))
