"""A conditional text model at one label: an ordinary text model, for every task and for export."""

import copy
from typing import TYPE_CHECKING

import torch

from seqvae.conditioning import GivenPosterior, fold
from seqvae.config import Model
from seqvae.errors import UserError
from seqvae.model import SequenceVAE
from seqvae.posteriors import PosteriorNetwork
from seqvae.posteriors.gaussian import GaussianNetwork

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


def label_number(model: "TextModel", label: str) -> int:
    """Which of the model's labels is called `label`.

    Raises:
        UserError: none is, or the model is not conditional.
    """
    if model.model.conditioning is None:
        raise UserError(
            f"label {label!r}: this model does not know labels; train with --model.conditional on a corpus "
            "prepared with --label COLUMN"
        )
    try:
        return model.labels.index(label)
    except ValueError:
        known = ", ".join(map(repr, model.labels[:20]))
        raise UserError(f"no label {label!r}; the model knows {known}") from None


@torch.no_grad()
def folded(model: SequenceVAE, networks: Model, label: int) -> SequenceVAE:
    """`model.given(label)` with the label in the biases: no part of it knows that there were labels.

    Without a latent it is `model.given(label)` as it is.

    Args:
        model: conditional.
        networks: what it was built from.
        label: number of the label.
    """
    given = model.given(label)
    assert model.conditioning is not None
    told = model.conditioning.vectors.weight[label]
    level = given.latent
    if level is None:
        # A decoder of nothing has no weights into which the label could go.
        return given.eval()
    level.posterior = _told(level.posterior)
    plain = networks.build_decoder(level.dimension, plain=True).to(told.device)
    fold(model.need_token_decoder(), plain, told)
    return SequenceVAE(level, plain, model.likelihood, word_dropout=model.word_dropout).eval()


def _told(given: PosteriorNetwork) -> PosteriorNetwork:
    """A Gaussian posterior with what it is told in its bias; others as they are."""
    assert isinstance(given, GivenPosterior)
    if not isinstance(given.network, GaussianNetwork):
        return given
    plain = copy.deepcopy(given.network)
    plain.statistics.bias.add_(plain.statistics.weight @ given.shift)
    return plain
