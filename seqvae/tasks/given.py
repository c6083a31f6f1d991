"""A conditional text model at one label and its attributes: an ordinary text model, for every task and for export."""

import copy

import torch
from torch import Tensor

from seqvae.conditioning import GivenDecoder, GivenPosterior, fold
from seqvae.config import Model
from seqvae.given_model import given
from seqvae.model import SequenceVAE
from seqvae.posteriors import PosteriorNetwork
from seqvae.posteriors.gaussian import GaussianNetwork


@torch.no_grad()
def folded(
    model: SequenceVAE, networks: Model, label: int | None, attributes: Tensor | None = None
) -> SequenceVAE:
    """The model `given` a label and attributes, with them in the biases: no part of it knows that there were any.

    Without a latent it is what `given` returns.

    Args:
        model: conditional.
        networks: what it was built from.
        label: number of the label; None where the model has none.
        attributes: shape [A], where the model has some.
    """
    given_it = given(model, label, attributes)
    assert isinstance(given_it.decoder, GivenDecoder)
    told = given_it.decoder.told
    level = given_it.latent
    if level is None:
        # A decoder of nothing has no weights into which the label could go.
        return given_it.eval()
    level.posterior = _told(level.posterior)
    plain = networks.build_decoder(level.dimension, plain=True).to(told.device)
    fold(model.need_token_decoder(), plain, told)
    return SequenceVAE(level, plain, model.likelihood, word_dropout=model.word_dropout).eval()


def _told(posterior: PosteriorNetwork) -> PosteriorNetwork:
    """A Gaussian posterior with what it is told in its bias; others as they are."""
    assert isinstance(posterior, GivenPosterior)
    if not isinstance(posterior.network, GaussianNetwork):
        return posterior
    plain = copy.deepcopy(posterior.network)
    plain.statistics.bias.add_(plain.statistics.weight @ posterior.shift)
    return plain
