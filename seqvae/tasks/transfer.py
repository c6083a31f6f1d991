"""Texts said again under another label: in another style, with what else they say kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import elbo
from seqvae.priors.by_label import GaussianPrior
from seqvae.tasks.decode import Decoding
from seqvae.tasks.texts import batch_of, groups

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


def transfer(
    model: "TextModel",
    texts: Sequence[str],
    to: str,
    source: str | None = None,
    decoding: Decoding | None = None,
) -> list[str]:
    """Each text encoded under its own label and written under another.

    Where each label has a prior of its own, z moves from where its label's texts lie to where those of the other
    do: mean' + std' * (z - mean) / std, the shortest way between the two Gaussians. z itself is the posterior's
    mean.

    Args:
        model: conditional, with a latent, of no label yet.
        texts: any number.
        to: the wanted label.
        source: the texts' label; None: for each text the one under which its ELBO is greatest.
        decoding: how tokens are chosen; greedy by default.

    Raises:
        UserError: a label is not known, the model is not conditional or has no latent, or a text is too long.
    """
    model.need_latent("transfer")
    target = model.given(to)
    ids = model.read(texts, given=True)
    if not ids:
        return []
    sources = [source] * len(ids) if source is not None else likeliest_labels(model, ids)
    z = torch.empty(len(ids), model.need_latent("transfer").dimension, device=model.device)
    for label in sorted(set(sources)):
        own = model.given(label)
        rows = [i for i, found in enumerate(sources) if found == label]
        mean = own.posterior([ids[i] for i in rows]).mean
        z[rows] = _moved(mean, own, target)
    return target.decode(z, decoding)


def likeliest_labels(model: "TextModel", ids: Sequence[Sequence[int]]) -> list[str]:
    """For each sequence of token ids the label under which its ELBO is greatest."""
    if not model.labels:
        raise UserError("this model does not know labels")
    best = torch.full((len(ids),), float("inf"), device=model.device)
    chosen = torch.zeros(len(ids), dtype=torch.int64, device=model.device)
    for number, label in enumerate(model.labels):
        network = model.given(label).model
        for group in groups(ids):
            nll = elbo(network, batch_of([ids[i] for i in group], model.device)).nll
            better = nll < best[group]
            best[group] = torch.where(better, nll, best[group])
            chosen[group] = torch.where(better, number, chosen[group])
    return [model.labels[number] for number in chosen.tolist()]


def _moved(z: Tensor, own: "TextModel", other: "TextModel") -> Tensor:
    """z [N, D] of one label's prior, as far along in that of the other."""
    here = own.need_latent("transfer").prior
    there = other.need_latent("transfer").prior
    if not (isinstance(here, GaussianPrior) and isinstance(there, GaussianPrior)):
        return z
    scale = torch.exp(0.5 * (there.log_variance - here.log_variance))
    return there.mean + scale * (z - here.mean)
