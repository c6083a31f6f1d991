"""InfoVAE: the KL of each posterior and the match of all of them together, weighed apart."""

from dataclasses import dataclass
from typing import final

from seqvae.errors import UserError
from seqvae.objectives.mmd import mean_mmd
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo


@dataclass(frozen=True)
class Info:
    """Reconstruction + (1 - alpha) KL + (alpha + weight - 1) MMD (Zhao et al. 2019, arXiv 1706.02262, eq. 6,
    lambda being `weight`): alpha is how much the information of x in z is wanted beyond what the ELBO wants.
    """

    alpha: float = 0.9
    """0: the KL has its whole weight; 1: none, and what is left is the Wasserstein autoencoder."""
    weight: float = 10.0
    """Nats per unit of MMD, which is between 0 and 14."""

    def __post_init__(self) -> None:
        """Refuse what would reward a mismatch."""
        if not self.alpha <= 1.0:
            raise UserError(
                f"objective info: alpha must be at most 1, got {self.alpha:g}: above, the KL would be rewarded"
            )
        if self.alpha + self.weight < 1.0:
            raise UserError(
                f"objective info: alpha + weight must be at least 1, got {self.alpha:g} + {self.weight:g}: "
                "below, a mismatch with the prior would be rewarded"
            )

    def build(self) -> "InfoObjective":
        """The objective."""
        return InfoObjective(self)


@final
class InfoObjective(Objective):
    """See `Info`."""

    aggregate = True

    def __init__(self, config: Info) -> None:
        self.beta = 1.0 - config.alpha
        self.weight = config.alpha + config.weight - 1.0

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        loss = negative_elbo(terms, self.beta)
        if terms.latents is None:
            return loss
        distance = mean_mmd(terms.latents)
        return Loss(loss.total + self.weight * distance, {**loss.shown, "mmd": distance.detach()})

    def criterion(self, measured: dict[str, float]) -> float:
        """See `Objective.criterion`."""
        bound = measured["reconstruction"] + self.beta * measured["kl"]
        return bound + self.weight * measured["mmd"]
