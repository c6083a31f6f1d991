"""What a recording becomes on its way through the latents."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from seqvae.tasks.chunks import Array, Chunking
from seqvae.tasks.convert import speaking
from seqvae.tasks.recording import Recording
from seqvae.tasks.render import render
from seqvae.tasks.voice import VoiceLike, heard_voice

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel


def reconstruct_speech(
    model: "SpeechModel",
    recording: Recording,
    voice: VoiceLike | None = None,
    *,
    chunking: Chunking | None = None,
    seed: int = 0,
) -> Iterator[Array]:
    """The recording from its posterior means, in pieces; see `seqvae.tasks.render.joined`.

    Args:
        model: any speech model.
        recording: what is read.
        voice: its own, where that is known; by default the one heard in it.
        chunking: how a long recording is cut.
        seed: of the vocoder's noise.

    Raises:
        UserError: no such voice.
    """
    own = heard_voice(model, [recording]) if voice is None else model.voice(voice)
    return render(model, recording, speaking(model, own), chunking, seed)
