"""Which priors do not go with a posterior, and why."""

from seqvae.errors import UserError
from seqvae.posteriors import Gaussian, PosteriorChoice
from seqvae.priors import PriorChoice, Vamp


def check_prior(posterior: PosteriorChoice, prior: PriorChoice) -> None:
    """Refuse a prior that has no meaning or no density for what the posterior gives.

    Raises:
        UserError: names the pair, the reason and what to use.
    """
    if isinstance(prior, Vamp) and isinstance(posterior, Gaussian) and posterior.batch_norm:
        raise UserError(
            f"model.prior:vamp and --model.posterior.batch-norm {posterior.batch_norm:g} do not go together: "
            "the normalisation is over a batch of texts, and pseudo-inputs would shift its statistics; "
            "leave out the normalisation, or use model.prior:mixture"
        )
