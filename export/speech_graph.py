"""A graph of a speech bundle under construction: inputs with defaults, and what several graphs do."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from seqvae.data.speech.energy import Floats
from seqvae.export.bundle_manifest import SPEECH_OPTIONS
from seqvae.export.bundle_speech import SpeechFacts
from seqvae.export.speech_loudness import loudness_gain
from seqvae.export.speech_vocoder import VocoderParts
from seqvae.export.stitch import Array, Scope, State
from seqvae.export.stitch_names import only
from seqvae.export.whole_inputs import default, every_row, value_info

if TYPE_CHECKING:
    import onnx

FORMAT = "1"
FLOAT, INT64, DOUBLE = 1, 7, 11
"""ONNX's numbers of element types."""
Shape = list[int | str]


@dataclass(frozen=True)
class SpeechIngredients:
    """What the graphs are made of.

    Attributes:
        parts: see `seqvae.export.speech_parts`, in any precision.
        vocoder: see `seqvae.export.speech_vocoder`.
        facts: of the bundle.
        content: size D of a content vector.
        voices: the vector of each voice, float32 [C], by name; one at least.
        style_variance: of the prior of a style vector.
        opset: of the parts.
        metadata: kept in the files, beside what every one of our graphs says.
    """

    parts: "Mapping[str, onnx.ModelProto]"
    vocoder: VocoderParts
    facts: SpeechFacts
    content: int
    voices: Mapping[str, Floats]
    style_variance: float = 1.0
    opset: int = 20
    metadata: Mapping[str, str] = field(default_factory=dict)


class Graph:
    """One graph under construction: its inputs with their defaults, and what several graphs do."""

    def __init__(self, made_of: SpeechIngredients) -> None:
        self.made_of, self.facts = made_of, made_of.facts
        self.scope = Scope(made_of.opset)
        self.inputs: list[onnx.ValueInfoProto] = []
        self.defaults: list[onnx.TensorProto] = []

    def take(self, name: str, kind: int, *shape: int | str) -> str:
        """An input that must be given."""
        self.scope.reserve([name])
        self.inputs.append(value_info(name, kind, list(shape)))
        return name

    def audio(self) -> str:
        """The input `audio`; from then on there is a number of rows."""
        taken = self.take("audio", FLOAT, "B", "N")
        self.count = self.scope.add("Shape", taken, start=0, end=1)
        return taken

    def option(self, name: str, value: float, dtype: type[np.generic] = np.float32) -> str:
        """An input with a default, for every row [B, 1]."""
        self.maybe(name, np.array([[value]], dtype), 1)
        return every_row(self.scope, [name], self.count, "sound")[name]

    def maybe(self, name: str, value: Array, columns: int | str) -> str:
        """An input with a default, as it is given."""
        kind = INT64 if value.dtype == np.int64 else FLOAT
        self.take(name, kind, f"{name}_rows", columns)
        self.defaults.append(default(name, value))
        return name

    def gained(self, audio: str) -> tuple[str, str]:
        """Gain [B, 1], measured where it is not given, and whether anything is heard, float32 [B, 1]."""
        scope, rate = self.scope, self.facts.rate
        gain = self.option("gain", 0.0)
        given = scope.add("Greater", gain, number(scope, 0.0))

        def known(inner: Scope) -> list[str]:
            return [inner.add("Identity", gain), inner.add("Cast", given, to=FLOAT)]

        def measured(inner: Scope) -> list[str]:
            found, heard = loudness_gain(inner, audio, rate)
            heard = inner.add("Or", given, heard)
            return [inner.add("Where", given, gain, found), inner.add("Cast", heard, to=FLOAT)]

        every = scope.add("ReduceMin", scope.add("Cast", given, to=INT64), keepdims=0)
        gain, heard = scope.when(is_true(scope, every), known, measured)
        return gain, heard

    def listen(self, audio: str, gain: str, *outputs: str, given: State | None = None) -> State:
        """Outputs of the part `listen`; `given` are those that are known."""
        part = only(self.made_of.parts["listen"], outputs, tuple(given or ()))
        read = {"audio": audio, "gain": gain, **(given or {})}
        return self.scope.inline(part, read, "listen")

    def heard(self, audio: str, gain: str) -> State:
        """Frames and all that the content encoder and the pitch reader say of them."""
        outputs = ["frames", "content_mean", "content_log_variance"]
        if self.facts.pitch:
            outputs.append("contour")
        return self.listen(audio, gain, *outputs)

    def decode(self, output: str, content: str, condition: str, heard: State) -> str:
        """An output of the part `decode`."""
        part = only(self.made_of.parts["decode"], [output])
        read = heard | {"content": content, "condition": condition}
        return self.scope.inline(part, read, "decode")[output]

    def voice(self) -> str:
        """What is given of the voice, [B, C]: a vector, or the number of one."""
        scope, size = self.scope, self.facts.condition
        speaker = self.option("speaker", 0, np.int64)
        vector = self.maybe("voice", np.zeros((0, size), np.float32), size)
        table = scope.constant(np.stack(list(self.made_of.voices.values())))

        def own(inner: Scope) -> list[str]:
            return [self.every(inner, vector, size, "voice")]

        def named(inner: Scope) -> list[str]:
            number = inner.add("Reshape", speaker, inner.constant([-1]))
            return [inner.add("Gather", table, number, axis=0)]

        return scope.when(self.has(vector, 0), own, named)[0]

    def has(self, value: str, axis: int) -> str:
        """Whether an axis is not empty, bool [1]."""
        size = self.scope.add("Shape", value, start=axis, end=axis + 1)
        return self.scope.add("Greater", size, self.scope.constant([0]))

    def every(self, scope: Scope, value: str, columns: int, name: str) -> str:
        """[1 or B, columns] as [B, columns]."""
        shape = scope.add("Concat", self.count, scope.constant([columns]), axis=0)
        wide = scope.add("Expand", value, shape)
        return scope.add("Reshape", wide, shape, name=f"{name} has 1 row or one for each sound")

    def with_style(
        self, scope: Scope, condition: str, style: str, center: str | None = None
    ) -> str:
        """A voice [B, C] with another style [B, S] and pitch [B, 1]: a table's row stays.

        Without `center` the pitch stays as well.
        """
        first, last = self.facts.style, self.facts.condition
        if center is not None:
            last -= 1
        parts = [style]
        if first < last:
            parts.append(self.columns(scope, condition, first, last))
        if center is not None:
            parts.append(center)
        return scope.add("Concat", *parts, axis=1) if len(parts) > 1 else style

    def columns(self, scope: Scope, condition: str, first: int, last: int) -> str:
        """Columns `first` to `last` of a voice [B, C]."""
        return scope.add(
            "Slice", condition, *(scope.constant([number]) for number in (first, last, 1))
        )

    def centred(self, scope: Scope, mean: str) -> str:
        """The style of what was heard once."""
        return scope.add("Mul", mean, number(scope, 1.0 / (1.0 + self.facts.shrink)))

    def finish(self, outputs: Mapping[str, tuple[str, Shape]]) -> "onnx.ModelProto":
        """The model; each output has a value and a shape."""
        self.scope.reserve(outputs)
        for name, (value, _) in outputs.items():
            self.scope.rename(value, name)
        return self.scope.model(
            self.inputs,
            [value_info(name, FLOAT, shape) for name, (_, shape) in outputs.items()],
            defaults=self.defaults,
            metadata=_metadata(self.made_of, {value.name for value in self.inputs}),
        )


def around(scope: Scope, mean: str, log_variance: str, noise: str, scale: str) -> str:
    """mean + scale * deviation * noise, all [B, V, D] but the scale [B, 1]."""
    half = scope.add("Mul", log_variance, number(scope, 0.5))
    factor = scope.add("Unsqueeze", scale, scope.constant([2]))
    step = scope.add("Mul", scope.add("Mul", scope.add("Exp", half), noise), factor)
    return scope.add("Add", mean, step)


def vectors_of(scope: Scope, mean: str) -> str:
    """V, int64 []."""
    return scope.add("Gather", scope.add("Shape", mean), scope.constant(1), axis=0)


def divergence(scope: Scope, mean: str, log_variance: str, axis: int, keep: int = 0) -> str:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over an axis.

    In float64: near the prior, exp(v) - 1 - v cancels.
    """
    one, half = scope.constant(1, np.float64), scope.constant(0.5, np.float64)
    m, v = (scope.add("Cast", value, to=DOUBLE) for value in (mean, log_variance))
    spread = scope.add("Sub", scope.add("Sub", scope.add("Exp", v), one), v)
    each = scope.add("Mul", scope.add("Add", scope.add("Mul", m, m), spread), half)
    total = scope.add("ReduceSum", each, scope.constant([axis]), keepdims=keep)
    return scope.add("Cast", total, to=FLOAT)


def number(scope: Scope, value: float) -> str:
    return scope.constant(value, np.float32)


def is_true(scope: Scope, value: str) -> str:
    return scope.add("Greater", value, scope.constant(0))


def _metadata(made_of: SpeechIngredients, inputs: set[str]) -> dict[str, str]:
    facts = made_of.facts
    options = {name: asdict(known) for name, known in SPEECH_OPTIONS.items() if name in inputs}
    return {
        "seqvae.format": FORMAT,
        "seqvae.kind": "speech",
        "seqvae.rate": str(facts.rate),
        "seqvae.mel": json.dumps(asdict(facts.mel)),
        "seqvae.stride": str(facts.stride),
        "seqvae.vocoder": facts.vocoder,
        "seqvae.voices": json.dumps(list(made_of.voices), ensure_ascii=False),
        "seqvae.options": json.dumps(options),
        **made_of.metadata,
    }
