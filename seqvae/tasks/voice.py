"""`Voice`: who shall speak, by a speaker's name or from recordings."""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.data.speech.audio import Sound
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.likelihoods import FrameLikelihood
from seqvae.tasks.f0 import F0, f0_of
from seqvae.tasks.outputs import sounds_in
from seqvae.tasks.recording import Recording, SoundLike
from seqvae.tasks.render import Window, listen
from seqvae.tasks.speakers import speakers_of

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

LISTEN = 60.0
"""Seconds of a recording after which no more is heard of it: a mean over more changes little."""
COMPARED = 256
"""Frames over which the run's speakers are compared: 4 s."""
TOGETHER = 16
"""Speakers compared at once."""


@dataclass(frozen=True)
class Voice:
    """What the decoder is told of who speaks.

    Attributes:
        name: for messages and file names.
        condition: shape [C], float32: style vector, table row, or both.
        f0: where its pitch lies, where that is known.
    """

    name: str
    condition: Tensor
    f0: F0 | None = None

    def towards(self, other: "Voice", strength: float) -> "Voice":
        """The voice at `strength` of the way to `other`: 0 this one, 1 the other, above 1 past it."""
        f0 = self.f0.towards(other.f0, strength) if self.f0 and other.f0 else other.f0
        return Voice(other.name, torch.lerp(self.condition, other.condition, strength), f0)


VoiceLike = Voice | SoundLike | Sequence[SoundLike]
"""A voice, a speaker's name, a recording (path or `Sound`), a folder of them, or several."""


def voice(model: "SpeechModel", who: VoiceLike) -> Voice:
    """The voice of a speaker of the run, or of one or several recordings.

    Args:
        model: a trained speech model.
        who: see `VoiceLike`; a string that is both a speaker's name and a file is the speaker.

    Raises:
        UserError: no such speaker or file, or the model knows its speakers by name only.
    """
    if isinstance(who, Voice):
        return who
    if isinstance(who, str) and who in model.speakers:
        return named_voice(model, who)
    given = [who] if isinstance(who, str | Path | Sound | Recording) else list(who)
    sources: list[SoundLike] = []
    for source in given:
        sources += [source] if isinstance(source, Sound | Recording) else _files(model, source)
    if not sources:
        raise UserError("voice: no recording given; name a speaker, a file or a folder")
    if not model.hears_voices:
        raise UserError(
            f"voice: this run knows its speakers by name only ({_known(model)}); to take a voice "
            "from recordings train with a style encoder: --model.speakers encoder or both"
        )
    first = given[0]
    name = Path(first).stem if isinstance(first, str | Path) else "recording"
    return heard_voice(model, [model.recording(source) for source in sources], name)


def named_voice(model: "SpeechModel", name: str) -> Voice:
    """The voice of a speaker of the run: mean style, and pitch, over its recordings.

    Raises:
        UserError: that mean is not known yet, and the corpus of the run is gone.
    """
    speaker = model.speakers.index(name)
    if not (model.hears_voices or model.model.pitch):
        return Voice(name, model.condition(None, speaker))
    known = speakers_of(model)
    style = known.style(speaker) if model.hears_voices else None
    return Voice(name, model.condition(style, speaker), known.pitch(speaker))


def heard_voice(model: "SpeechModel", recordings: Sequence[Recording], name: str = "own") -> Voice:
    """The voice heard in recordings; of a table, the row under which the first is most probable.

    A style is the centre of the style posterior's means of all windows.
    """
    latent = model.model.latent
    style: Tensor | None = None
    if latent is not None:
        style = latent.prior.center(torch.cat([styles(model, one) for one in recordings]))
    speaker: int | None = None
    if model.model.labels is not None:
        speaker = likely_speaker(model, recordings[0], style)
    f0: F0 | None = None
    if model.model.pitch is not None:
        f0 = f0_of(model, (window.mel for one in recordings for window in heard(model, one)))
    return Voice(name, model.condition(style, speaker), f0)


def heard(model: "SpeechModel", recording: Recording) -> Iterator[Window]:
    """The first windows of a recording, a minute of it."""
    limit = LISTEN * model.settings.sample_rate
    return itertools.takewhile(lambda window: window.first < limit, listen(model, recording))


def styles(model: "SpeechModel", recording: Recording) -> Tensor:
    """Means of the style posterior for the first windows of a recording, shape [N, D]."""
    with evaluating(model.model):
        return torch.cat([model.model.style(w.mel).mean for w in heard(model, recording)])


def likely_speaker(model: "SpeechModel", recording: Recording, style: Tensor | None) -> int:
    """Number of the run's speaker under whose row of the table the recording costs least."""
    network = model.model
    assert isinstance(network.likelihood, FrameLikelihood)
    costs: list[float] = []
    with evaluating(network):
        mel = next(listen(model, recording)).mel[:, :COMPARED]
        content, pitch = network.content(mel).mean, network.contour(mel)
        for first in range(0, len(model.speakers), TOGETHER):
            numbers = range(len(model.speakers))[first : first + TOGETHER]
            condition = torch.stack([model.condition(style, number) for number in numbers])
            count = len(numbers)
            states = network.decoder(
                content.expand(count, -1, -1),
                condition,
                mel.shape[1],
                None if pitch is None else pitch.expand(count, -1, -1),
            )
            costs += network.likelihood.nll(states, mel.expand(count, -1, -1), None).tolist()
    return min(range(len(costs)), key=costs.__getitem__)


def _files(model: "SpeechModel", source: str | Path) -> list[Path]:
    """The files that a path stands for; an error that lists the speakers where there are none."""
    path = Path(source)
    if path.is_dir():
        found, _ = sounds_in(path)
        if not found:
            raise UserError(f"voice: no sound file in the folder {path}")
        return found
    if path.is_file():
        return [path]
    near = difflib.get_close_matches(str(source), model.speakers, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"voice: {str(source)!r} is neither a file nor a speaker of the run ({_known(model)}){hint}"
    )


def _known(model: "SpeechModel") -> str:
    names = ", ".join(model.speakers[:20])
    return (names or "it has none") + (", ..." if len(model.speakers) > 20 else "")
