"""Which objectives do not go with a latent, and why."""

import re

from seqvae import posteriors
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
    _check_levels(objective, posterior, prior)
    if not isinstance(objective, FreeBits) or objective.variant not in _BY_DIMENSION:
        return
    whole = _of_one_number(posterior, prior)
    if whole:
        raise UserError(
            f"--objective.variant {objective.variant} and {whole} do not go together: the KL is then "
            "one number, with no dimensions to give free bits to; use --objective.variant batch_total or "
            "total"
        )


def _of_one_number(posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice) -> str:
    """The member for which the KL is one number, without shares of dimensions; else nothing."""
    if not isinstance(prior, Standard | Hierarchical | Ladder) or (
        isinstance(prior, Ladder) and isinstance(posterior, LowRank)
    ):
        return f"model.prior:{flag(prior)}"
    return f"model.posterior:{flag(posterior)}" if isinstance(posterior, Iaf | Vmf) else ""


def _check_levels(
    objective: ObjectiveChoice, posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice
) -> None:
    """Refuse free bits by level where z has one level, or its levels have no KL each."""
    if isinstance(objective, FreeBits) and objective.variant == "level":
        asked, instead = "--objective.variant level", "--objective.variant batch_total"
    elif isinstance(objective, RateTarget) and objective.floor and objective.floor_over == "level":
        asked, instead = "--objective.floor-over level", "--objective.floor-over dimension"
    else:
        return
    if not (isinstance(posterior, posteriors.Ladder) or isinstance(prior, Ladder)):
        raise UserError(
            f"{asked} and model.posterior:{flag(posterior)} with model.prior:{flag(prior)} do not go "
            f"together: z has one level; use {instead}, or model.posterior:ladder and model.prior:ladder"
        )
    whole = _of_one_number(posterior, prior)
    if whole:
        raise UserError(
            f"{asked} and {whole} do not go together: the KL is then one number for all levels; use "
            f"{instead}, or model.posterior:ladder and model.prior:ladder"
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
