"""The models of a loaded bundle, whatever its kind."""

from seqvae.serving.offered import Offered, offered
from seqvae.serving.offered_sound import offered_sound
from seqvae.serving.service import Model


def offered_by(model: Model) -> dict[str, Offered]:
    """What the Open Inference Protocol offers of it, by name."""
    if model.facts.kind == "text":
        return offered(model.facts.latent)
    return offered_sound(model.sound())
