"""New sound from the priors."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.pitch import CONTOUR_SCALE
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import CONTENT
from seqvae.ops import normal
from seqvae.tasks.f0 import F0, placed
from seqvae.tasks.recording import SHORTEST
from seqvae.tasks.render import PEAK, speak
from seqvae.tasks.speakers import speakers_of
from seqvae.tasks.voice import Voice, VoiceLike

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

LONGEST = 600.0
"""Most seconds of a sample."""
SWING = 32
"""Frames over which the pitch of babble changes its mind: half a second."""
MIDDLE = F0(center=5.0, spread=0.2)
"""Pitch of a voice of which none is known: 148 Hz, between the usual of men and of women."""
CONTOUR_STREAM = 1
"""Of the noise under a sound's seed; 0 is the content's."""


def sample_speech(
    model: "SpeechModel",
    n: int = 3,
    seconds: float = 3.0,
    voice: VoiceLike | None = None,
    *,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Sound]:
    """`n` sounds with content from its prior, and voices from theirs or one given.

    The prior knows no words: expect babble in a voice, which shows what the latents leave open.

    Args:
        model: any speech model.
        n: how many; the first of many are those of fewer under the same seed.
        seconds: length of each.
        voice: who shall speak; by default the style is drawn as well, or, where speakers are rows
            of a table, the speakers take turns.
        temperature: factor on the content's noise; below 1 calmer.
        seed: fixes everything.

    Raises:
        UserError: a value is out of its range, or there is no such voice.
    """
    if not 0 <= n <= 10_000:
        raise UserError(f"sample: n is {n}; it must be 0 to 10000")
    if not SHORTEST <= seconds <= LONGEST:
        raise UserError(f"sample: seconds is {seconds:g}; it must be {SHORTEST:g} to {LONGEST:g}")
    if not 0 <= temperature <= 10:
        raise UserError(f"sample: temperature is {temperature:g}; it must be 0 to 10")
    chosen = None if voice is None else model.voice(voice)
    network, settings = model.model, model.settings
    steps = -(-round(seconds * settings.sample_rate) // model.step)
    frames = steps * model.step // settings.hop
    prior = network.levels[CONTENT].prior
    found = []
    with evaluating(network):
        for number in range(n):
            speaker = drawn_voice(model, seed, number) if chosen is None else chosen
            # Each sound has a stream of its own: the company does not matter.
            key = torch.tensor([seed + (number << 32)], device=model.device)
            z = temperature * prior.sample(key, steps)
            pitch = None
            if network.pitch is not None:
                pitch = placed(drawn_contour(key, frames), speaker.f0 or MIDDLE)
            mel = network.frames(z[None], speaker.condition[None], frames, pitch)
            samples = speak(model, mel, 0, seed)[: round(seconds * settings.sample_rate)]
            found.append(Sound(samples.clip(-PEAK, PEAK), settings.sample_rate))
    return found


def drawn_voice(model: "SpeechModel", seed: int, number: int) -> Voice:
    """Voice `number` of those that the prior of the style and the table's speakers give."""
    style = None
    latent = model.model.latent
    if latent is not None:
        style = latent.prior.sample(torch.tensor([seed], device=model.device), number + 1)[number]
    speaker = number % len(model.speakers) if model.model.labels is not None else None
    return Voice(
        f"drawn-{number + 1}", model.condition(style, speaker), _pitch(model, style, speaker)
    )


def _pitch(model: "SpeechModel", style: Tensor | None, speaker: int | None) -> F0 | None:
    """The pitch of a speaker, or of the one whose style is nearest; None where no such is known."""
    if model.model.pitch is None or not model.speakers:
        return None
    try:
        known = speakers_of(model)
    except UserError:
        return None
    if speaker is None:
        assert style is not None
        distance = torch.linalg.vector_norm(known.styles.to(style.device) - style, dim=1)
        speaker = int(distance.argmin())
    return known.pitch(speaker)


def drawn_contour(seed: Tensor, frames: int) -> Tensor:
    """A contour for babble, [1, frames, 3], at 1 Hz: voiced, rising and falling about once a second."""
    size = min(SWING, frames)
    weights = torch.hann_window(size, device=seed.device)
    weights = weights / weights.square().sum().sqrt().clamp_min(1e-6)
    noise = normal(seed, (frames + size - 1,), offset=CONTOUR_STREAM)
    course = F.conv1d(noise[None, None], weights[None, None])[0, 0]
    return torch.stack([course, torch.ones_like(course), CONTOUR_SCALE * course], -1)[None]
