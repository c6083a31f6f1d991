"""A conditional text model at one label and its attributes: an ordinary text model, for every task and for export."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.conditioning import GivenDecoder, GivenPosterior, fold
from seqvae.config import Model
from seqvae.errors import UserError
from seqvae.given_model import given
from seqvae.model import SequenceVAE
from seqvae.posteriors import PosteriorNetwork
from seqvae.posteriors.gaussian import GaussianNetwork

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


@dataclass(frozen=True)
class Known:
    """What is said of a text, as its model stores it.

    Attributes:
        label: number of the label; None for a model that has none.
        attributes: those of the model, in its order.
        words: the same as it was said.
    """

    label: int | None
    attributes: tuple[float, ...]
    words: tuple[str, ...]

    def tensor(self) -> Tensor | None:
        """The attributes, [A]; None where there are none."""
        return torch.tensor(self.attributes) if self.attributes else None


def known(model: "TextModel", said: Sequence[str]) -> Known:
    """What was said of a text: a label of the model, and NAME=VALUE for each of its attributes, in any order.

    Raises:
        UserError: the model does not know it, is not conditional, or needs what was not said.
    """
    if model.model.conditioning is None:
        raise UserError(
            f"label {' '.join(said)!r}: this model does not know labels; train with --model.conditional on a corpus "
            "prepared with --label COLUMN"
        )
    names = [one.name for one in model.attributes]
    labels: list[str] = []
    values: dict[str, str] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if one in model.labels or not equals or name not in names:
            labels.append(one)
        elif name in values:
            raise UserError(f"{one}: {name} is said twice, {name}={values[name]} before")
        else:
            values[name] = value
    wrong = [label for label in labels if label not in model.labels]
    if wrong or len(labels) > 1:
        raise UserError(f"no label {(wrong or labels)[-1]!r}; the model knows {choices(model)}")
    if (model.labels and not labels) or set(names) - set(values):
        raise UserError(
            f"this model is conditional: say which label (--label); it knows {choices(model)}"
        )
    return Known(
        model.labels.index(labels[0]) if labels else None,
        tuple(one.read(values[one.name]) for one in model.attributes),
        tuple(said),
    )


def choices(model: "TextModel") -> str:
    """What can be said of a text, in words."""
    labels = ", ".join(map(repr, model.labels[:20])) + (", ..." if len(model.labels) > 20 else "")
    return "; ".join([labels] * bool(labels) + [one.described() for one in model.attributes])


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
