"""Which priors go with a posterior, and which do not, and why."""

import re

from seqvae import posteriors
from seqvae.errors import UserError
from seqvae.posteriors import Gaussian, PosteriorChoice, Vmf
from seqvae.priors import Ladder, Prior, PriorChoice, Standard, StylePriorChoice, Vamp
from seqvae.priors.sphere import SpherePrior


def check_prior(posterior: PosteriorChoice, prior: PriorChoice) -> None:
    """Refuse a prior that has no meaning or no density for what the posterior gives.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if isinstance(posterior, Vmf) and not isinstance(prior, Standard):
        raise UserError(
            f"model.posterior:vmf and model.prior:{command_name(prior)} do not go together: the posterior's "
            "vectors lie on the unit sphere, where that density over all vectors has no mass; use "
            "model.prior:standard, which is uniform on the sphere then"
        )
    if isinstance(prior, Vamp) and not isinstance(posterior, Gaussian):
        raise UserError(
            f"model.prior:vamp and model.posterior:{command_name(posterior)} do not go together: the prior "
            "is a mixture of diagonal Gaussians, the posteriors of its pseudo-inputs; use "
            "model.posterior:gaussian, or model.prior:mixture or flow"
        )
    if isinstance(prior, Vamp) and isinstance(posterior, Gaussian) and posterior.batch_norm:
        raise UserError(
            f"model.prior:vamp and --model.posterior.batch-norm {posterior.batch_norm:g} do not go together: "
            "the normalisation is over a batch of texts, and pseudo-inputs would shift its statistics; "
            "leave out the normalisation, or use model.prior:mixture"
        )
    check_committed(posterior, prior)
    if (
        isinstance(posterior, posteriors.Ladder)
        and isinstance(prior, Ladder)
        and posterior.levels != prior.levels
    ):
        raise UserError(
            f"--model.posterior.levels {posterior.levels} and --model.prior.levels {prior.levels} do not go "
            "together: a level would be inferred from others than it is expected by; give both the same"
        )


def check_committed(
    posterior: PosteriorChoice, prior: PriorChoice | StylePriorChoice, level: str = ""
) -> None:
    """Refuse a committed rate against a prior that learns to follow the posterior.

    Args:
        posterior: of the level.
        prior: of the level.
        level: what the level's flags begin with: "style-".

    Raises:
        UserError: names the flags.
    """
    if not isinstance(posterior, Gaussian) or posterior.committed is None:
        return
    if not isinstance(prior, Standard):
        raise UserError(
            f"--model.{level}posterior.committed {posterior.committed:g} and model.{level}prior:{command_name(prior)} "
            "do not go together: the rate is committed against the standard normal, and a learned prior would "
            f"become as narrow as the posteriors; use model.{level}prior:standard, or leave out one of the two"
        )


def check_levels(told: int, posterior: PosteriorChoice, prior: PriorChoice) -> None:
    """Refuse a decoder whose blocks are told `told` levels of a z that has others.

    Raises:
        UserError: names the flags.
    """
    ladders = [x for x in (posterior, prior) if isinstance(x, posteriors.Ladder | Ladder)]
    levels = ladders[0].levels if ladders else 1
    if told not in (1, levels):
        has = f"{levels} levels" if ladders else "one level"
        raise UserError(
            f"--model.decoder.levels {told} needs a z of as many levels, and this one has {has}: use "
            f"model.posterior:ladder and model.prior:ladder with --model.posterior.levels {told} and "
            f"--model.prior.levels {told}, or leave it out"
        )


def check_conditional(posterior: PosteriorChoice, prior: PriorChoice, by_label: str) -> None:
    """Refuse a prior by label that another prior or the posterior has no room for.

    Args:
        posterior: of the model.
        prior: of the model.
        by_label: learned or shared.

    Raises:
        UserError: names the flags.
    """
    if by_label == "shared":
        return
    if isinstance(posterior, Vmf):
        raise UserError(
            "--model.conditional with model.posterior:vmf needs --model.label-prior shared: a label's Gaussian has "
            "no mass on the unit sphere"
        )
    if isinstance(posterior, Gaussian) and posterior.committed is not None:
        raise UserError(
            f"--model.posterior.committed {posterior.committed:g} and the learned prior of each label do not go "
            "together: the rate is committed against the standard normal; add --model.label-prior shared"
        )
    if not isinstance(prior, Standard):
        raise UserError(
            f"--model.conditional has a prior of its own for each label, and model.prior:{command_name(prior)} "
            "would not be used: add --model.label-prior shared, or leave the prior out"
        )


def command_name(member: PosteriorChoice | PriorChoice | StylePriorChoice) -> str:
    """The name that a member has on the command line: LowRank is low-rank."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(member).__name__).lower()


def build_prior(posterior: PosteriorChoice, prior: PriorChoice, dimension: int) -> Prior:
    """The module of a prior for vectors of size `dimension` that this posterior gives."""
    return SpherePrior(dimension) if isinstance(posterior, Vmf) else prior.build(dimension)
