"""Damaged texts repaired by the latent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqvae.tasks.decode import Decoding

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


def denoise(
    model: "TextModel", texts: Sequence[str], decoding: Decoding | None = None
) -> list[str]:
    """Each text written again without its damage.

    For models trained with `training.noise`: their encoder saw damaged texts and their decoder
    wrote the clean ones.

    Args:
        model: with a latent.
        texts: damaged texts; `<blank>` in one marks a piece that is missing.
        decoding: how tokens are chosen; greedy by default.

    Raises:
        UserError: the model has no latent, or a text is too long.
    """
    model.need_latent("denoise")
    ids = model.read(texts, blanks=True)
    return model.decode(model.posterior(ids).mean, decoding)
