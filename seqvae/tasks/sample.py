"""New texts from the prior."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

# Without a filter the improbable half of the vocabulary adds up to a slip in every other text.
DEFAULT = Decoding(strategy="sample", top_p=0.9)


def sample(
    model: "TextModel", n: int = 10, decoding: Decoding | None = None, seed: int | None = None
) -> list[str]:
    """`n` texts with z from the prior; of a language model, from the model itself.

    Args:
        model: any trained text model.
        n: how many; the first of many are those of fewer under the same seed.
        decoding: how tokens are chosen; by default sampled with `top_p` 0.9.
        seed: fixes z and tokens; by default `decoding.seed`.

    Raises:
        UserError: `n` is negative, or a language model is to write greedily or by beam: every
            text would be the same.
    """
    decoding = decoding or DEFAULT
    if seed is not None:
        decoding = replace(decoding, seed=seed)
    if n < 0:
        raise UserError(f"sample: n is {n}; it must be 0 or more")
    latent = model.model.latent
    if latent is not None:
        key = torch.tensor([decoding.seed], device=model.device)
        return model.decode(latent.prior.sample(key, n), decoding, rows=torch.arange(n))
    if decoding.strategy != "sample":
        raise UserError(
            f"sample: with strategy {decoding.strategy} a language model writes the same text "
            f"{n} times; use strategy sample"
        )
    return model.decode(None, decoding, rows=torch.arange(n))
