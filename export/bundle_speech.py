"""What a speech bundle says of itself beside what every bundle does; read without torch."""

from dataclasses import dataclass, fields
from typing import Any

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.export.bundle_json import Reader

_LARGEST = 1 << 20


@dataclass(frozen=True)
class SpeechFacts:
    """What flows in and out of the graphs of a speech model.

    Attributes:
        mel: how sound becomes frames; its rate is the one rate that the graphs know.
        stride: frames for one content vector.
        style: size S of a style vector; 0: the model knows voices by name only.
        condition: size C of a voice's vector: style vector, row of the table of speakers, or both.
        pitch: whether the decoder is told the course of the pitch.
        shrink: a style that was heard N times is the sum of what was heard divided by N + shrink.
        vocoder: what turns frames into sound.
    """

    mel: MelSettings
    stride: int
    style: int
    condition: int
    pitch: bool
    shrink: float
    vocoder: str

    @property
    def rate(self) -> int:
        """Samples per second of what goes in and comes out, Hz."""
        return self.mel.sample_rate

    @property
    def step(self) -> int:
        """Samples for one content vector."""
        return self.stride * self.mel.hop


def read_speech(reader: Reader, value: object) -> SpeechFacts:
    """The facts from the JSON value of the field `speech` of `seqvae.json`.

    Args:
        reader: of that file.
        value: of the field.

    Raises:
        UserError: a field is missing, unknown or out of bounds.
    """
    given = _object(reader, "speech", value, SpeechFacts)
    mel = _object(reader, "speech.mel", given["mel"], MelSettings)
    for item in fields(MelSettings):
        name, number = f"speech.mel.{item.name}", mel[item.name]
        if item.type is int:
            reader.integer(name, number, 0, _LARGEST)
        else:
            reader.number(name, number, 0.0, _LARGEST)
    try:
        settings = MelSettings(**mel)
    except UserError as error:
        reader.refuse("speech.mel", mel, str(error))
    condition = reader.integer("speech.condition", given["condition"], 1, _LARGEST)
    return SpeechFacts(
        mel=settings,
        stride=reader.integer("speech.stride", given["stride"], 1, _LARGEST),
        style=reader.integer("speech.style", given["style"], 0, condition),
        condition=condition,
        pitch=reader.flag("speech.pitch", given["pitch"]),
        shrink=reader.number("speech.shrink", given["shrink"], 0.0, 1e9),
        vocoder=reader.text("speech.vocoder", given["vocoder"]),
    )


def _object(reader: Reader, name: str, value: object, kind: type) -> dict[str, Any]:
    wanted = {item.name for item in fields(kind)}
    given = reader.mapping(name, value)
    if given.keys() != wanted:
        odd = min(given.keys() ^ wanted)
        reader.refuse(f"{name}.{odd[:80]}", given.get(odd, "absent"), "altered; export again")
    return given
