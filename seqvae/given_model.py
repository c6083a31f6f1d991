"""A conditional text model at one label and its attributes: a text model of neither, of the same weights."""

from collections.abc import Iterator

import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.conditioning import Conditioning, GivenDecoder, GivenPosterior
from seqvae.latent import Latent
from seqvae.model import SequenceVAE


def given(model: SequenceVAE, label: int | None, attributes: Tensor | None = None) -> SequenceVAE:
    """A conditional model where one thing is known of every text.

    Args:
        model: conditional.
        label: number of the label; None for a model of attributes alone.
        attributes: of a model that knows some, [A].

    Raises:
        ValueError: the model is not conditional, or needs what is missing.
    """
    conditioning = _need(model)
    device = conditioning.vectors.weight.device
    number = None if label is None else torch.tensor(label, device=device)
    known = None if attributes is None else attributes.to(device)
    told = conditioning.vector(number, known)
    level: Latent | None = None
    if model.latent is not None:
        assert conditioning.told is not None
        level = Latent(
            model.latent.encoder,
            GivenPosterior(model.latent.posterior, conditioning.told(told)),
            conditioning.expected(model.latent.prior, number, known),
            model.latent.embedding,
        )
    decoder = GivenDecoder(model.need_token_decoder(), told)
    found = SequenceVAE(level, decoder, model.likelihood, word_dropout=model.word_dropout)
    found.training = model.training
    return found


def by_known(model: SequenceVAE, batch: Batch) -> Iterator[tuple[SequenceVAE, Batch]]:
    """A conditional model at each thing that is known in a batch, and its rows; else the model and the batch as they are.

    Raises:
        ValueError: the batch lacks what the model needs.
    """
    if model.conditioning is None:
        yield model, batch
        return
    columns = [] if batch.labels is None else [batch.labels[:, None].double()]
    columns += [] if batch.attributes is None else [batch.attributes.double()]
    if not columns:
        raise ValueError("this model needs the label of each sequence, and the batch has none")
    different, which = torch.unique(torch.cat(columns, 1), dim=0, return_inverse=True)
    for place in range(len(different)):
        rows = (which == place).nonzero().squeeze(1)
        part = batch.select(rows)
        label = None if part.labels is None else int(part.labels[0])
        known = None if part.attributes is None else part.attributes[0]
        yield given(model, label, known), part


def _need(model: SequenceVAE) -> Conditioning:
    if model.conditioning is None:
        raise ValueError("this model knows no labels")
    return model.conditioning
