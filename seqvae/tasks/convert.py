"""What is said in one voice, said in another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.posteriors import FrameGaussian
from seqvae.tasks.chunks import Array, Chunking
from seqvae.tasks.f0 import F0, f0_of, placed, stretched
from seqvae.tasks.frame_noise import frame_noise
from seqvae.tasks.recording import Recording
from seqvae.tasks.render import Change, Window, render
from seqvae.tasks.voice import Voice, VoiceLike, heard, heard_voice

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

MAX_STRENGTH = 4.0


@dataclass(frozen=True)
class Conversion:
    """How a voice is changed.

    Raises:
        UserError: a value is out of its range.
    """

    strength: float = 1.0
    """How far from the source's own voice to the target's: 0 keeps the source's, 1 is the target's,
    above 1 goes past it."""
    noise_scale: float = 0.0
    """Width of the content's noise: 0 takes the most probable content, 1 the posterior's own width."""
    f0: Literal["none", "statistics"] = "none"
    """none: the source's melody, at the pitch of the target; statistics: made as lively as the target's
    as well (the spread of the logarithm of its pitch)."""
    seed: int = 0
    """Fixes everything random."""

    def __post_init__(self) -> None:
        rules = {
            "strength": (0 <= self.strength <= MAX_STRENGTH, f"0 to {MAX_STRENGTH:g}"),
            "noise_scale": (0 <= self.noise_scale <= 10, "0 to 10"),
            "f0": (self.f0 in ("none", "statistics"), "none or statistics"),
            "seed": (-(2**63) <= self.seed < 2**63, "a 64-bit integer"),
        }
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise UserError(f"convert: {name} is {getattr(self, name)!r}; it must be {wanted}")


def convert(
    model: "SpeechModel",
    recording: Recording,
    voice: VoiceLike,
    conversion: Conversion | None = None,
    *,
    own: VoiceLike | None = None,
    chunking: Chunking | None = None,
) -> Iterator[Array]:
    """The recording in another voice, in pieces; see `seqvae.tasks.render.joined`.

    Args:
        model: any speech model.
        recording: what is said.
        voice: who shall say it.
        conversion: how.
        own: the source's own voice, for a `strength` other than 1; by default the one that is
            heard in it.
        chunking: how a long recording is cut.

    Raises:
        UserError: the voice is unknown.
    """
    conversion = conversion or Conversion()
    target = model.voice(voice)
    if conversion.strength != 1.0:
        mine = heard_voice(model, [recording]) if own is None else model.voice(own)
        target = mine.towards(target, conversion.strength)
    melody: tuple[F0, F0] | None = None
    if conversion.f0 == "statistics":
        melody = melodies(model, recording, target)
    change = speaking(model, target, conversion.noise_scale, conversion.seed, melody)
    return render(model, recording, change, chunking, conversion.seed)


def melodies(model: "SpeechModel", recording: Recording, target: Voice) -> tuple[F0, F0] | None:
    """Pitch statistics of a recording and of the voice that it shall be said in.

    None where the recording has no voiced sound to speak of.

    Raises:
        UserError: the model reads no pitch, or that of the target is not known.
    """
    own = f0_of(model, (window.mel for window in heard(model, recording)))
    wanted = target.f0
    if wanted is None:
        raise UserError(f"f0 statistics: there is no voiced sound to measure in {target.name}")
    return None if own is None else (own, wanted)


def speaking(
    model: "SpeechModel",
    voice: Voice,
    noise_scale: float = 0.0,
    seed: int = 0,
    melody: tuple[F0, F0] | None = None,
) -> Change:
    """The same content, and course of the pitch, in `voice`.

    Args:
        model: any speech model.
        voice: who shall speak.
        noise_scale: see `Conversion`.
        seed: see `Conversion`.
        melody: pitch of the source, and the one whose liveliness it shall have.
    """

    def change(window: Window) -> Tensor:
        posterior = model.model.content(window.mel)
        z = posterior.mean
        if noise_scale:
            assert isinstance(posterior, FrameGaussian)
            first = window.first // model.step
            noise = frame_noise(seed, first, z.shape[1], z.shape[2], z.device)
            z = z + noise_scale * torch.exp(0.5 * posterior.log_variance) * noise
        pitch = model.model.contour(window.mel)
        if pitch is not None:
            pitch = pitch if melody is None else stretched(pitch, *melody)
            pitch = placed(pitch, voice.f0)
        return model.model.frames(z, voice.condition[None], window.mel.shape[1], pitch)

    return change
