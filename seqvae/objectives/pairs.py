"""Which objectives do not go with a latent, and why."""

from seqvae.errors import UserError
from seqvae.objectives import FreeBits, ObjectiveChoice
from seqvae.posteriors import PosteriorChoice
from seqvae.priors import Hierarchical, PriorChoice, Standard, StylePriorChoice

_BY_DIMENSION = ("dimension", "batch_dimension", "gate")


def check_objective(
    objective: ObjectiveChoice, posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice
) -> None:
    """Refuse an objective that asks for what the KL of this posterior and prior has not.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if (
        isinstance(objective, FreeBits)
        and objective.variant in _BY_DIMENSION
        and not isinstance(prior, Standard | Hierarchical)
    ):
        name = type(prior).__name__.lower()
        raise UserError(
            f"--objective.variant {objective.variant} and model.prior:{name} do not go together: the "
            "KL to this prior is one number, with no dimensions to give free bits to; use "
            "--objective.variant batch_total or total"
        )
