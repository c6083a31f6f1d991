"""Texts said again under another label: in another style, with what else they say kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.evaluation.likelihood import elbo
from seqvae.priors.by_label import GaussianPrior
from seqvae.tasks.decode import Decoding
from seqvae.tasks.said import Said, instead, possible
from seqvae.tasks.texts import batch_of, groups

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


def transfer(
    model: "TextModel",
    texts: Sequence[str],
    to: Said,
    source: Said | None = None,
    decoding: Decoding | None = None,
) -> list[str]:
    """Each text encoded as what it is and written as what is wanted.

    Where each label has a prior of its own, z moves from where its label's texts lie to where those of the other
    do: mean' + std' * (z - mean) / std, the shortest way between the two Gaussians. z itself is the posterior's
    mean.

    Args:
        model: conditional, with a latent, of no label yet.
        texts: any number.
        to: the wanted label; with attributes NAME=VALUE too. What is not said stays as it is in each text.
        source: the texts' label and attributes; what is not said of them is for each text that under which its ELBO is
            greatest (a number: the mean of the training texts).
        decoding: how tokens are chosen; greedy by default.

    Raises:
        UserError: a label or attribute is not known, the model is not conditional or has no latent, or a text is too long.
    """
    model.need_latent("transfer")
    candidates = possible(model, source or ())
    instead(model, candidates[0], to)
    ids = model.read(texts, given=True)
    if not ids:
        return []
    sources = likeliest(model, ids, candidates)
    written = [""] * len(ids)
    for said in sorted(set(sources)):
        own, target = model.given(*said), model.given(*instead(model, said, to))
        rows = [i for i, found in enumerate(sources) if found == said]
        z = _moved(own.posterior([ids[i] for i in rows]).mean, own, target)
        for i, text in zip(rows, target.decode(z, decoding), strict=True):
            written[i] = text
    return written


def likeliest(
    model: "TextModel", ids: Sequence[Sequence[int]], candidates: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """For each sequence of token ids that of what may be said of it under which its ELBO is greatest."""
    if len(candidates) == 1:
        return [candidates[0]] * len(ids)
    best = torch.full((len(ids),), float("inf"), device=model.device)
    chosen = torch.zeros(len(ids), dtype=torch.int64, device=model.device)
    for number, said in enumerate(candidates):
        network = model.given(*said).model
        for group in groups(ids):
            nll = elbo(network, batch_of([ids[i] for i in group], model.device)).nll
            better = nll < best[group]
            best[group] = torch.where(better, nll, best[group])
            chosen[group] = torch.where(better, number, chosen[group])
    return [candidates[number] for number in chosen.tolist()]


def _moved(z: Tensor, own: "TextModel", other: "TextModel") -> Tensor:
    """z [N, D] of one label's prior, as far along in that of the other."""
    here = own.need_latent("transfer").prior
    there = other.need_latent("transfer").prior
    if not (isinstance(here, GaussianPrior) and isinstance(there, GaussianPrior)):
        return z
    scale = torch.exp(0.5 * (there.log_variance - here.log_variance))
    return there.mean + scale * (z - here.mean)
