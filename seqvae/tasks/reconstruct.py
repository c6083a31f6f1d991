"""What a text becomes on its way through the latent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqvae.tasks.decode import Decoding

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel


def reconstruct(
    model: "TextModel", texts: Sequence[str], decoding: Decoding | None = None
) -> list[str]:
    """Each text written again from its posterior mean.

    Args:
        model: with a latent.
        texts: any number.
        decoding: how tokens are chosen; greedy by default.

    Raises:
        UserError: the model has no latent, or a text is too long.
    """
    return model.decode(model.encode(texts, task="reconstruct").mean, decoding)
