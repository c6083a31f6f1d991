"""One recording in the voices between two."""

from typing import TYPE_CHECKING

import torch

from seqvae.data.speech.audio import Sound
from seqvae.errors import UserError
from seqvae.tasks.convert import Conversion
from seqvae.tasks.recording import SoundLike
from seqvae.tasks.voice import VoiceLike

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

MAX_STEPS = 1000


def interpolate_voices(
    model: "SpeechModel",
    source: SoundLike,
    first: VoiceLike,
    last: VoiceLike,
    steps: int = 5,
    conversion: Conversion | None = None,
) -> list[Sound]:
    """`steps` versions of the source, from the voice `first` to the voice `last`.

    Args:
        model: any speech model.
        source: what is said.
        first: first voice.
        last: last voice.
        steps: sounds wanted, both ends included.
        conversion: how voices are changed; its strength has no part in it.

    Raises:
        UserError: `steps` is out of its range, or there is no such voice or file.
    """
    if not 2 <= steps <= MAX_STEPS:
        raise UserError(
            f"interpolate: steps is {steps}; it must be 2 to {MAX_STEPS}, both ends included"
        )
    begin, end = model.voice(first), model.voice(last)
    recording = model.recording(source)
    found = []
    for way in torch.linspace(0, 1, steps).tolist():
        found.append(model.convert(recording, begin.towards(end, way), conversion))
    return found
