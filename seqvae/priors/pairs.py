"""Which priors go with a posterior, and which do not, and why."""

import re

from seqvae.errors import UserError
from seqvae.posteriors import Gaussian, PosteriorChoice, Vmf
from seqvae.priors import Prior, PriorChoice, Standard, Vamp
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


def command_name(member: PosteriorChoice | PriorChoice) -> str:
    """The name that a member has on the command line: LowRank is low-rank."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(member).__name__).lower()


def build_prior(posterior: PosteriorChoice, prior: PriorChoice, dimension: int) -> Prior:
    """The module of a prior for vectors of size `dimension` that this posterior gives."""
    return SpherePrior(dimension) if isinstance(posterior, Vmf) else prior.build(dimension)
