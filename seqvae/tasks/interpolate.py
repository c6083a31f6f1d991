"""Texts on the way from one to another."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


def interpolate(
    model: "TextModel",
    a: str,
    b: str,
    steps: int = 7,
    *,
    spherical: bool = True,
    decoding: Decoding | None = None,
) -> list[str]:
    """`steps` texts from the reconstruction of `a` to that of `b`.

    Args:
        model: with a latent.
        a: first text.
        b: last text.
        steps: texts wanted, both ends included.
        spherical: walk along the arc between the two posterior means, where the prior has its
            mass, instead of the straight line, which passes nearer to the origin.
        decoding: how tokens are chosen; greedy by default.

    Raises:
        UserError: the model has no latent, a text is too long, or `steps` is below 2.
    """
    if steps < 2:
        raise UserError(f"interpolate: steps is {steps}; it must be 2 or more, both ends included")
    first, last = model.encode([a, b], task="interpolate").mean
    way = torch.linspace(0, 1, steps, device=first.device)
    return model.decode(between(first, last, way, spherical=spherical), decoding)


def between(first: Tensor, last: Tensor, way: Tensor, *, spherical: bool) -> Tensor:
    """Points at `way` [S] (0: `first`, 1: `last`, both [D]) on the line or the arc, shape [S, D].

    Spherical: Shoemake 1985, used on latents by White 2016, arXiv 1609.04468.
    """
    way = way[:, None]
    line = torch.lerp(first[None], last[None], way)
    cosine = torch.cosine_similarity(first, last, 0).clamp(-1, 1)
    # Along (nearly) one direction, either way round, the arc is not defined: take the line.
    if not spherical or bool(cosine.abs() > 0.9995):
        return line
    angle = cosine.arccos()
    return (torch.sin((1 - way) * angle) * first + torch.sin(way * angle) * last) / torch.sin(angle)
