"""A converter that computes nothing hard, and a server around it."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.wav import encode_wav
from seqvae.export.bundle_manifest import SPEECH_OPTIONS
from seqvae.export.bundle_speech import SpeechFacts
from seqvae.serving.converting import Voices
from seqvae.serving.limits import Limits
from seqvae.serving.resample import resample
from seqvae.serving.service import Facts, Model
from seqvae.serving.sound_tensors import Tensors
from seqvae.serving.sounds import Outputs, SoundRow
from seqvae.serving.tensor_spec import Spec
from seqvae.tasks.recording import Recording
from tests.serving.stub import Live, live

SETTINGS = MelSettings()
RATE = SETTINGS.sample_rate
SPEECH = SpeechFacts(SETTINGS, 2, 2, 3, True, 0.0, "GriffinLim")
FACTS = Facts(
    name="voices",
    version="0.1.0",
    kind="speech",
    tasks=("convert", "score"),
    latent=4,
    max_length=0,
    beam_size=0,
    labels=("anna", "ben"),
    options={name: dict(vars(range_)) for name, range_ in SPEECH_OPTIONS.items()},
    variant="cpu-fp32",
    provider="cpu",
    speech=SPEECH,
)
VOICES = {"anna": np.array([1, 0, 5.0], np.float32), "ben": np.array([-1, 0, 4.0], np.float32)}
INPUTS = (
    Spec("audio", "FP32", -1, ""),
    Spec("speaker", "INT64", 1, "", optional=True),
    Spec("voice", "FP32", 3, "", optional=True),
    Spec("reference", "FP32", -1, "", optional=True),
    Spec("strength", "FP32", 1, "", optional=True),
    Spec("gain", "FP32", 1, "", optional=True),
    Spec("noise_scale", "FP32", 1, "", optional=True),
    Spec("seed", "INT64", 1, "", optional=True),
    Spec("first", "INT64", 1, "", optional=True),
)
OUTPUTS = (
    Spec("converted", "FP32", -1, ""),
    Spec("frames", "FP32", -1, "", more=(SETTINGS.mels,)),
    Spec("condition", "FP32", 3, ""),
)


@dataclass
class StubConverter:
    """Turns a sound upside down for ben and leaves it for anna; slow on request.

    Attributes:
        hears: whether voices may be heard in recordings: the mean of one becomes the voice's first number.
        seconds: a call takes.
        gate: no call ends before it is set.
        rows: that were computed.
    """

    hears: bool = True
    seconds: float = 0.0
    gate: threading.Event | None = None
    rows: list[SoundRow] = field(default_factory=list)
    closed: bool = False

    def run(self, rows: Sequence[SoundRow]) -> list[Outputs]:
        self.rows += rows
        time.sleep(self.seconds)
        if self.gate is not None:
            self.gate.wait(30)
        return [self._one(row) for row in rows]

    def _one(self, row: SoundRow) -> Outputs:
        voice = row.options.get("voice", VOICES["anna"]).copy()
        if "speaker" in row.options:
            voice = VOICES[("anna", "ben")[int(row.options["speaker"][0])]]
        if "reference" in row.options:
            voice[0] = np.sign(row.options["reference"].mean())
        frames = np.zeros((len(row.audio) // SETTINGS.hop, SETTINGS.mels), np.float32)
        return {"converted": voice[0] * row.audio, "frames": frames, "condition": voice}

    def tensors(self) -> Mapping[str, Tensors]:
        return {"model": Tensors(INPUTS, OUTPUTS)}

    def vectors(self) -> Voices:
        style = SPEECH.style if self.hears else 0
        return Voices(SpeechFacts(**{**vars(SPEECH), "style": style}), VOICES)

    def recording(self, source: bytes, *, longest: float | None = None) -> Recording:
        return Recording(source, SETTINGS, longest=longest, resample=resample)

    def warm_up(self) -> None:
        self.run([SoundRow(np.zeros(RATE, np.float32))])
        self.rows.clear()

    def check_golden(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@contextlib.contextmanager
def live_sound(
    engine: StubConverter | None = None, limits: Limits | None = None, *, keys: Sequence[str] = ()
) -> Iterator[Live]:
    """A server of a speech bundle."""
    with live(limits=limits, keys=keys, model=Model(engine or StubConverter(), FACTS)) as server:
        yield server


def lopsided(seconds: float, rate: int = RATE, sign: float = 1.0) -> Sound:
    """A tone of 440 Hz whose mean has a sign, so that upside down is another sound."""
    time_ = np.arange(round(seconds * rate)) / rate
    tone = 0.2 * np.sin(2 * np.pi * 440 * time_) + 0.1
    return Sound((sign * tone).astype(np.float32), rate)


def wav(sound: Sound) -> bytes:
    """Its file."""
    return encode_wav(sound.samples, sound.rate)
