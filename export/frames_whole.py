"""The graphs of a bundle of frames, put together of parts: frames in, frames out, in one call.

    model      frames float32 [B, T, F] -> written [B, T, F], z [B, D]
    encoder    frames -> mean, log_variance [B, D]
    decoder    z [B, D] -> written [B, T, F]
    generate   seed int64 [B, 1] -> written [B, T, F], z [B, D], which is from the prior

There are one or more rows B. Frames are in the corpus' own numbers, those behind a sequence's length 0 in what is
written; where none are read, T is the greatest length. Of a conditional model all take `label`, int64 [B], a number
in the list of labels. Every other input has a default and one row or B:

    lengths      int64 [..]: frames of each sequence; all T of `frames`, the most there are where none are given
    target       int64 [..]: of `model`: label under which it is written; -1, the one under which it was read
    noise_scale  float32 [.., 1]: of `model`, z = mean + noise_scale * deviation * noise; 0
    temperature  float32 [.., 1]: of `generate`, factor on z; 1
    seed         int64 [.., 1]: of `model`, of the noise; 0
    sample       int64 [.., 1]: which vector of noise under that seed; 0
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from seqvae.export.bundle_frames import FramesFacts
from seqvae.export.bundle_manifest import FRAMES_OPTIONS
from seqvae.export.speech_noise import frame_normals
from seqvae.export.stitch import Array, Scope, State, following
from seqvae.export.whole_inputs import default, every_row, value_info

if TYPE_CHECKING:
    import onnx

_FLOAT, _INT64 = 1, 7
_ALL = 2**31 - 1
"""A length beyond every sequence."""
Shape = list[int | str]


@dataclass(frozen=True)
class FramesIngredients:
    """What the graphs are made of.

    Attributes:
        parts: see `seqvae.export.frames_parts`.
        facts: of the bundle.
        latent: size D of z.
        labels: names of the labels of a conditional model; none of another.
        opset: of the parts.
        metadata: kept in the files, beside what every one of our graphs says.
    """

    parts: "Mapping[str, onnx.ModelProto]"
    facts: FramesFacts
    latent: int
    labels: Sequence[str] = ()
    opset: int = 20
    metadata: Mapping[str, str] = field(default_factory=dict)


def build_frames_graphs(made_of: FramesIngredients) -> "dict[str, onnx.ModelProto]":
    """Every graph, by the name of its file."""
    return {
        "model": _model(made_of),
        "encoder": _encoder(made_of),
        "decoder": _decoder(made_of),
        "generate": _generate(made_of),
    }


def _model(made_of: FramesIngredients) -> "onnx.ModelProto":
    graph = _Graph(made_of, rows_of="frames")
    scope = graph.scope
    frames, steps = graph.frames()
    lengths = graph.lengths(_ALL, steps)
    told = graph.label()
    found = scope.inline(
        made_of.parts["encode"], {"frames": frames, "lengths": lengths, **told}, "encode"
    )
    if told:
        target = graph.numbers("target", -1)
        own = scope.add("Less", target, scope.constant(0))
        told = {"label": graph.known(scope.add("Where", own, told["label"], target))}
    scale = graph.option("noise_scale")
    noise = graph.noise(graph.option("seed"), graph.option("sample"))
    deviation = scope.add("Exp", scope.add("Mul", found["log_variance"], _number(scope, 0.5)))
    moved = scope.add("Mul", scope.add("Mul", deviation, noise), scale)
    z = scope.add("Add", found["mean"], moved)
    return graph.finish(graph.write(z, told, lengths, steps), z)


def _encoder(made_of: FramesIngredients) -> "onnx.ModelProto":
    graph = _Graph(made_of, rows_of="frames")
    frames, steps = graph.frames()
    read = {"frames": frames, "lengths": graph.lengths(_ALL, steps), **graph.label()}
    found = graph.scope.inline(made_of.parts["encode"], read, "encode")
    return graph.finish(**found)


def _decoder(made_of: FramesIngredients) -> "onnx.ModelProto":
    graph = _Graph(made_of, rows_of="z")
    z = graph.take("z", _FLOAT, "B", made_of.latent)
    lengths, steps = graph.wanted()
    return graph.finish(graph.write(z, graph.label(), lengths, steps))


def _generate(made_of: FramesIngredients) -> "onnx.ModelProto":
    graph = _Graph(made_of, rows_of="seed")
    scope = graph.scope
    seed = graph.take("seed", _INT64, "B", 1)
    sample = graph.option("sample")
    lengths, steps = graph.wanted()
    if "prior" in made_of.parts:
        z = scope.inline(made_of.parts["prior"], {"seed": seed, "sample": sample}, "prior")["z"]
    else:
        z = graph.noise(seed, sample)
    z = scope.add("Mul", z, graph.option("temperature"))
    return graph.finish(graph.write(z, graph.label(), lengths, steps), z)


class _Graph:
    """One graph under construction.

    Args:
        made_of: its parts.
        rows_of: the input that says how many rows there are.
    """

    def __init__(self, made_of: FramesIngredients, rows_of: str) -> None:
        self.made_of, self.facts = made_of, made_of.facts
        self.scope = Scope(made_of.opset)
        self.inputs: list[onnx.ValueInfoProto] = []
        self.defaults: list[onnx.TensorProto] = []
        self.count = self.scope.add("Shape", rows_of, start=0, end=1)

    def take(self, name: str, kind: int, *shape: int | str) -> str:
        """An input that must be given."""
        self.scope.reserve([name])
        self.inputs.append(value_info(name, kind, list(shape)))
        return name

    def option(self, name: str) -> str:
        """An option of a row, [B, 1]."""
        known = FRAMES_OPTIONS[name]
        self._maybe(name, np.array([[known.default]], np.dtype(known.dtype)), 1)
        return every_row(self.scope, [name], self.count, "sequence")[name]

    def numbers(self, name: str, value: int) -> str:
        """Whole numbers with a default, [B]."""
        self._maybe(name, np.array([value], np.int64))
        # Of another size one of the two refuses them: the runtime's error has the node's name.
        told = f"{name} has 1 number or one for each sequence"
        wide = self.scope.add("Expand", name, self.count, name=told)
        return self.scope.add("Reshape", wide, self.count, name=f"{told}, no more")

    def _maybe(self, name: str, value: Array, *columns: int) -> None:
        kind = _INT64 if value.dtype == np.int64 else _FLOAT
        self.take(name, kind, f"{name}_rows", *columns)
        self.defaults.append(default(name, value))

    def frames(self) -> tuple[str, str]:
        """The input `frames`, and how many each sequence has at most: T, int64 []."""
        taken = self.take("frames", _FLOAT, "B", "T", self.facts.features)
        steps = self.scope.add(
            "Gather", self.scope.add("Shape", taken), self.scope.constant(1), axis=0
        )
        return taken, self._allowed(steps)

    def lengths(self, value: int, steps: str) -> str:
        """The input `lengths`, each from 1 to `steps`."""
        found = self.scope.add("Min", self.numbers("lengths", value), steps)
        return self.scope.add("Max", found, self.scope.constant(1))

    def wanted(self) -> tuple[str, str]:
        """The input `lengths` of what is to be written, and their greatest, int64 []."""
        scope = self.scope
        lengths = self.numbers("lengths", self.facts.longest)
        lengths = scope.add("Max", lengths, scope.constant(1))
        return lengths, self._allowed(scope.add("ReduceMax", lengths, keepdims=0))

    def _allowed(self, steps: str) -> str:
        """`steps`, or the runtime's error, which has the node's name."""
        known = self.scope.constant(np.arange(self.facts.longest + 1))
        name = f"a sequence has at most {self.facts.longest} frames"
        return self.scope.add("Gather", known, steps, axis=0, name=name)

    def label(self) -> State:
        """The input `label` of a conditional model."""
        return {"label": self.known(self.take("label", _INT64, "B"))} if self.made_of.labels else {}

    def known(self, label: str) -> str:
        """Labels, those below 0 out of bounds too: ONNX would count them from the last."""
        scope = self.scope
        below = scope.add("Less", label, scope.constant(0))
        return scope.add("Where", below, scope.constant(len(self.made_of.labels)), label)

    def noise(self, seed: str, sample: str) -> str:
        """Standard normal [B, D]."""
        one = self.scope.constant(1)
        found = frame_normals(self.scope, seed, sample, one, self.made_of.latent)
        return self.scope.add("Squeeze", found, self.scope.constant([1]))

    def write(self, z: str, told: State, lengths: str, steps: str) -> str:
        """Frames [B, T, F] of z [B, D], T being `steps`."""
        scope, parts, last = self.scope, self.made_of.parts, self.scope.constant([1])
        place = scope.add("Range", scope.constant(0), steps, scope.constant(1))
        real = scope.add("Less", place, scope.add("Unsqueeze", lengths, last))
        if "decode" in parts:
            read = {"z": z, "lengths": lengths, "real": real, **told}
            return scope.inline(parts["decode"], read, "decode")["written"]
        made = scope.inline(parts["start"], {"z": z, **told}, "start")
        state = {name: value for name, value in made.items() if not name.startswith("cond_")}

        def body(inner: Scope, position: str, now: State) -> tuple[str, State, list[str]]:
            found = inner.inline(parts["step"], {**made, **now, "position": position}, "step")
            return inner.constant(True), following(found), [found["frame"]]

        _, (frames,) = scope.loop(steps, scope.constant(True), state, body)
        frames = scope.add("Transpose", frames, perm=[1, 0, 2])
        kept = scope.add("Unsqueeze", real, scope.constant([2]))
        return scope.add("Where", kept, frames, _number(scope, 0.0))

    def finish(
        self, written: str = "", z: str = "", mean: str = "", log_variance: str = ""
    ) -> "onnx.ModelProto":
        """The model, with the outputs that have a value."""
        vector: Shape = ["B", self.made_of.latent]
        every: dict[str, tuple[str, Shape]] = {
            "written": (written, ["B", "T", self.facts.features]),
            "z": (z, vector),
            "mean": (mean, vector),
            "log_variance": (log_variance, vector),
        }
        outputs = {name: one for name, one in every.items() if one[0]}
        self.scope.reserve(outputs)
        for name, (value, _) in outputs.items():
            self.scope.rename(value, name)
        return self.scope.model(
            self.inputs,
            [value_info(name, _FLOAT, shape) for name, (_, shape) in outputs.items()],
            defaults=self.defaults,
            metadata=_metadata(self.made_of, {value.name for value in self.inputs}),
        )


def _number(scope: Scope, value: float) -> str:
    return scope.constant(value, np.float32)


def _metadata(made_of: FramesIngredients, inputs: set[str]) -> dict[str, str]:
    options = {name: asdict(known) for name, known in FRAMES_OPTIONS.items() if name in inputs}
    return {
        "seqvae.format": "1",
        "seqvae.kind": "frames",
        "seqvae.frames": json.dumps(asdict(made_of.facts)),
        "seqvae.labels": json.dumps(list(made_of.labels), ensure_ascii=False),
        "seqvae.options": json.dumps(options),
        **made_of.metadata,
    }
