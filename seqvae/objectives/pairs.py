"""Which objectives do not go with a latent, and why."""

import re

from seqvae.errors import UserError
from seqvae.objectives import (
    Adversarial,
    Capacity,
    FreeBits,
    Importance,
    Info,
    Mmd,
    ObjectiveChoice,
    RateTarget,
    TotalCorrelation,
)
from seqvae.posteriors import Gaussian, Iaf, LowRank, PosteriorChoice, Vmf
from seqvae.priors import Hierarchical, Ladder, PriorChoice, Standard, StylePriorChoice, Vamp

_BY_DIMENSION = ("dimension", "batch_dimension", "gate")
_OF_LATENTS = (Importance, Capacity, TotalCorrelation, Mmd, Info, Adversarial)


def check_objective(
    objective: ObjectiveChoice, posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice
) -> None:
    """Refuse an objective that asks for what the KL of this posterior and prior has not.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if isinstance(objective, Mmd | Info) and isinstance(posterior, Vmf):
        name = type(objective).__name__.lower()
        raise UserError(
            f"objective:{name} and model.posterior:vmf do not go together: the kernel's widths are those of "
            "vectors as long as the standard normal's, and on the unit sphere all vectors are near each other "
            "in them; use objective:elbo or importance, or another posterior"
        )
    if isinstance(objective, Adversarial) and isinstance(prior, Vamp):
        raise UserError(
            "objective:adversarial and model.prior:vamp do not go together: pseudo-inputs learn from the "
            "prior's density, which has no part in this loss; use objective:info, or model.prior:mixture, "
            "which stays as it was at the start"
        )
    if isinstance(objective, RateTarget) and isinstance(posterior, Gaussian):
        committed = posterior.committed or 0.0
        if objective.rate < committed:
            raise UserError(
                f"--model.posterior.committed {committed:g} and --objective.rate {objective.rate:g} do not go "
                "together: the KL is never below the committed rate, and the weight would grow without end; "
                "commit less, or ask for more"
            )
    if isinstance(objective, TotalCorrelation):
        _check_dimensions(posterior, prior)
    if not isinstance(objective, FreeBits) or objective.variant not in _BY_DIMENSION:
        return
    whole = ""
    if not isinstance(prior, Standard | Hierarchical | Ladder) or (
        isinstance(prior, Ladder) and isinstance(posterior, LowRank)
    ):
        whole = f"model.prior:{type(prior).__name__.lower()}"
    elif isinstance(posterior, Iaf | Vmf):
        whole = f"model.posterior:{type(posterior).__name__.lower()}"
    if whole:
        raise UserError(
            f"--objective.variant {objective.variant} and {whole} do not go together: the KL is then "
            "one number, with no dimensions to give free bits to; use --objective.variant batch_total or "
            "total"
        )


def _check_dimensions(posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice) -> None:
    """Refuse posteriors and priors that are no products over dimensions."""
    other = ""
    if not isinstance(posterior, Gaussian):
        other = f"model.posterior:{flag(posterior)}"
    elif not isinstance(prior, Standard):
        other = f"model.prior:{flag(prior)}"
    if other:
        raise UserError(
            f"objective:total-correlation and {other} do not go together: it needs the densities of z by "
            "dimension; use model.posterior:gaussian and model.prior:standard"
        )


def flag(choice: object) -> str:
    """A choice as the command line spells it: TotalCorrelation is total-correlation."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(choice).__name__).lower()


def check_processes(objective: ObjectiveChoice, prior: PriorChoice, world: int) -> None:
    """Refuse many processes where part of the prior gets no gradient: they would wait for it for ever.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if world > 1 and isinstance(objective, Mmd | Adversarial) and not isinstance(prior, Standard):
        raise UserError(
            f"objective:{type(objective).__name__.lower()} with model.prior:{type(prior).__name__.lower()} "
            "trains in one process alone: "
            "samples of the prior give no gradient to all of its weights, and processes would wait for it; use "
            "model.prior:standard, objective:info, or one process"
        )


def check_without_latent(objective: ObjectiveChoice) -> None:
    """Refuse an objective that is about z alone where there is no z.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if isinstance(objective, _OF_LATENTS):
        raise UserError(
            f"objective:{flag(objective)} and --latent none do not go together: a language model has no z to "
            "draw or to weigh; leave out one of the two"
        )
