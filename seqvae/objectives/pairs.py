"""Which objectives do not go with a latent, and why."""

from seqvae.errors import UserError
from seqvae.objectives import FreeBits, ObjectiveChoice
from seqvae.posteriors import Iaf, PosteriorChoice, Vmf
from seqvae.priors import Hierarchical, PriorChoice, Standard, StylePriorChoice

_BY_DIMENSION = ("dimension", "batch_dimension", "gate")


def check_objective(
    objective: ObjectiveChoice, posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice
) -> None:
    """Refuse an objective that asks for what the KL of this posterior and prior has not.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if not isinstance(objective, FreeBits) or objective.variant not in _BY_DIMENSION:
        return
    whole = ""
    if not isinstance(prior, Standard | Hierarchical):
        whole = f"model.prior:{type(prior).__name__.lower()}"
    elif isinstance(posterior, Iaf | Vmf):
        whole = f"model.posterior:{type(posterior).__name__.lower()}"
    if whole:
        raise UserError(
            f"--objective.variant {objective.variant} and {whole} do not go together: the KL is then "
            "one number, with no dimensions to give free bits to; use --objective.variant batch_total or "
            "total"
        )
