"""The graphs that an application calls once: `generate`, from z to ids, and `model`, from text to text.

    model   text string [B] (without tokenizer graphs: ids int64 [B, T] and lengths int64 [B]),
            options [B, 1] or [1, 1], noise float32 [0, D] (that of the seed), [1, D] or [B, D]
         -> written string [B] (without tokenizer graphs: int64 [B, T]), ids int64 [B, T],
            log_prob float32 [B, 1], complete bool [B, 1], mean float32 [B, D], kl float32 [B, 1]
    generate   z float32 [B, D], options but `noise_scale` -> ids, log_prob, complete

Options are those of `seqvae.export.bundle_manifest.OPTIONS`; each has a default and need not be given.
`ids` end with the end token where `complete`, and with zeros behind it. A text that is too long is
read up to the model's limit; no rows give no rows. KL is that of the posterior to the standard normal,
whatever the prior, in nats.

A language model reads nothing: neither text nor z, noise_scale and noise are inputs, mean and kl no
outputs, and B is the greatest number of rows that an option has. Texts of one seed differ by `sample`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from seqvae.errors import UserError
from seqvae.export.bundle_manifest import OPTIONS
from seqvae.export.stitch import Scope, State
from seqvae.export.whole_inputs import default, every_row, value_info
from seqvae.export.whole_loops import Pieces, Rows, Texts, write

if TYPE_CHECKING:
    import onnx

FORMAT = "1"
NOISE = "noise"
_FLOAT, _INT64, _STRING, _BOOL, _DOUBLE = 1, 7, 8, 9, 11  # ONNX's numbers of element types
_TYPES = {"float32": _FLOAT, "int64": _INT64, "bool": _BOOL}
_LATENT_ONLY = "noise_scale"


@dataclass(frozen=True)
class Ingredients:
    """What whole graphs are made of.

    Attributes:
        parts: `encoder` (not of a language model), `start` and `step`, in any precision.
        choices: see `seqvae.export.whole_choices.export_choices`.
        beam_size: the one of `choices`.
        max_length: of the model, start and end tokens included; one token less is ever written.
        tokenizer: `tokenizer` and `detokenizer`, see `seqvae.export.tokenizer`; without them ids
            go in and out.
        metadata: kept in the file, beside what every one of our graphs says.
    """

    parts: "Mapping[str, onnx.ModelProto]"
    choices: "Mapping[str, onnx.ModelProto]"
    beam_size: int
    max_length: int
    tokenizer: "Mapping[str, onnx.ModelProto]" = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def latent(self) -> int:
        """Size D of z; 0 for a language model."""
        for value in self.parts["start"].graph.input:
            if value.name == "z":
                return int(value.type.tensor_type.shape.dim[1].dim_value)
        return 0

    @property
    def opset(self) -> int:
        """Of the parts."""
        (version,) = {e.version for e in self.parts["step"].opset_import if e.domain == ""}
        return int(version)


def build_generate(made_of: Ingredients) -> "onnx.ModelProto":
    """`generate.onnx`: from z, or of a language model from nothing, to ids.

    Raises:
        UserError: the model can write nothing.
    """
    scope = Scope(made_of.opset)
    names = [name for name in OPTIONS if name != _LATENT_ONLY]
    outputs = _written_outputs()
    scope.reserve(["z", *names, *(value.name for value in outputs)])
    if made_of.latent:
        count = scope.add("Shape", "z", start=0, end=1)
        inputs = [value_info("z", _FLOAT, ["B", made_of.latent])]
    else:
        count, inputs = _most_rows(scope, names), []
    options = every_row(scope, names, count)
    texts = _generate(scope, made_of, Rows(count, "z" if made_of.latent else "", options))
    for name, value in texts._asdict().items():
        scope.rename(value, name)
    return scope.model(
        [*inputs, *_option_inputs(names)],
        outputs,
        defaults=list(_defaults(names)),
        metadata=_metadata(made_of, names),
    )


def build_model(made_of: Ingredients) -> "onnx.ModelProto":
    """`model.onnx`: from text to text in one self-contained graph.

    Raises:
        UserError: the model can write nothing.
    """
    scope, latent = Scope(made_of.opset), made_of.latent
    names = [name for name in OPTIONS if latent or name != _LATENT_ONLY]
    form: list[int | str] = ["B"] if made_of.tokenizer else ["B", "T"]
    outputs = [value_info("written", _STRING if made_of.tokenizer else _INT64, form)]
    outputs += [value for value in _written_outputs() if made_of.tokenizer or value.name != "ids"]
    if latent:
        outputs += [value_info("mean", _FLOAT, ["B", latent]), value_info("kl", _FLOAT, ["B", 1])]
    given = _text_inputs(made_of) if latent else []
    scope.reserve([NOISE, *names, *(value.name for value in [*given, *outputs])])
    if latent:
        count, z, found, options = _read(scope, made_of, names)
    else:
        count, z, found = _most_rows(scope, names), "", {}
        options = every_row(scope, names, count)
    texts = _generate(scope, made_of, Rows(count, z, options))
    found |= texts._asdict()
    if made_of.tokenizer:
        read = {"ids": texts.ids}
        found["written"] = scope.inline(made_of.tokenizer["detokenizer"], read, "write")["text"]
    else:
        found["written"] = found.pop("ids")
    for name, value in found.items():
        scope.rename(value, name)
    inputs = [*given, *_option_inputs(names)]
    defaults = list(_defaults(names))
    if latent:
        inputs.append(value_info(NOISE, _FLOAT, ["noise_rows", latent]))
        defaults.append(default(NOISE, np.zeros((0, latent), np.float32)))
    return scope.model(inputs, outputs, defaults=defaults, metadata=_metadata(made_of, names))


def require_inputs(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy in which every input must be given.

    ONNX Runtime for JavaScript, for Java and Triton's batcher take no value for an input with a
    default.
    """
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    names = {value.name for value in model.graph.input}
    del changed.graph.initializer[:]
    changed.graph.initializer.extend(t for t in model.graph.initializer if t.name not in names)
    return changed


def _generate(scope: Scope, made_of: Ingredients, rows: Rows) -> Texts:
    if made_of.max_length < 2:
        raise UserError(
            f"max_length is {made_of.max_length}; it must be 2 or more to write a token"
        )
    # What is written can be read again behind its start token.
    limit = scope.constant(made_of.max_length - 1, np.int64)
    least = scope.constant(1, np.int64)
    asked = scope.add("Min", scope.add("Max", rows.options["max_length"], least), limit)
    limited = replace(rows, options=rows.options | {"max_length": asked})
    parts = made_of.parts
    pieces = Pieces(parts["start"], parts["step"], made_of.choices, made_of.beam_size)
    return write(scope, pieces, limited)


def _read(scope: Scope, made_of: Ingredients, names: list[str]) -> tuple[str, str, State, State]:
    """From text to z: the number of rows [1], z, what is known of the posterior, and the options."""
    first = {"ids": "ids", "lengths": "lengths"}
    if made_of.tokenizer:
        first = scope.inline(made_of.tokenizer["tokenizer"], {"text": "text"}, "read")
    found = scope.inline(made_of.parts["encoder"], first, "encoder")
    mean, log_variance = found["mean"], found["log_variance"]
    count = scope.add("Shape", mean, start=0, end=1)
    options = every_row(scope, names, count)
    noise = _noise(scope, made_of, count, options)
    half = scope.add("Mul", log_variance, scope.constant(0.5, np.float32))
    step = scope.add("Mul", noise, options[_LATENT_ONLY])
    z = scope.add("Add", mean, scope.add("Mul", scope.add("Exp", half), step))
    return count, z, {"mean": mean, "kl": _divergence(scope, mean, log_variance)}, options


def _noise(scope: Scope, made_of: Ingredients, count: str, options: State) -> str:
    """Standard normal noise [B, D]: what is given, or that of the seeds."""
    rows = scope.add("Shape", NOISE, start=0, end=1)
    given = scope.add("Greater", rows, scope.constant([0]))
    size = scope.constant([made_of.latent])

    def own(inner: Scope) -> list[str]:
        shape = inner.add("Concat", count, size, axis=0)
        wide = inner.add("Expand", NOISE, shape)
        return [inner.add("Reshape", wide, shape, name="noise has 1 row or one for each text")]

    def seeded(inner: Scope) -> list[str]:
        return [inner.inline(made_of.choices["normals"], options, "noise")["eps"]]

    flag = scope.add("Squeeze", given, scope.constant([0]))
    return scope.when(flag, own, seeded)[0]


def _divergence(scope: Scope, mean: str, log_variance: str) -> str:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, [B, 1].

    In float64: near the prior, exp(v) - 1 - v cancels.
    """
    one, half = scope.constant(1, np.float64), scope.constant(0.5, np.float64)
    m, v = (scope.add("Cast", value, to=_DOUBLE) for value in (mean, log_variance))
    spread = scope.add("Sub", scope.add("Sub", scope.add("Exp", v), one), v)
    each = scope.add("Mul", scope.add("Add", scope.add("Mul", m, m), spread), half)
    total = scope.add("ReduceSum", each, scope.constant([1]), keepdims=1)
    return scope.add("Cast", total, to=_FLOAT)


def _most_rows(scope: Scope, names: list[str]) -> str:
    """The greatest number of rows of an option, int64 [1]."""
    sizes = [scope.add("Shape", name, start=0, end=1) for name in names]
    return scope.add("Max", *sizes)


def _text_inputs(made_of: Ingredients) -> "list[onnx.ValueInfoProto]":
    if made_of.tokenizer:
        return [value_info("text", _STRING, ["B"])]
    return [value_info("ids", _INT64, ["B", "S"]), value_info("lengths", _INT64, ["B"])]


def _written_outputs() -> "list[onnx.ValueInfoProto]":
    return [
        value_info("ids", _INT64, ["B", "T"]),
        value_info("log_prob", _FLOAT, ["B", 1]),
        value_info("complete", _BOOL, ["B", 1]),
    ]


def _option_inputs(names: list[str]) -> "list[onnx.ValueInfoProto]":
    # Each has an axis of its own name: they may be 1 where there are B texts.
    return [value_info(name, _TYPES[OPTIONS[name].dtype], [f"{name}_rows", 1]) for name in names]


def _defaults(names: list[str]) -> "Iterator[onnx.TensorProto]":
    for name in names:
        known = OPTIONS[name]
        yield default(name, np.array([[known.default]], np.dtype(known.dtype)))


def _metadata(made_of: Ingredients, names: list[str]) -> dict[str, str]:
    return {
        "seqvae.format": FORMAT,
        "seqvae.kind": "text",
        "seqvae.latent": str(made_of.latent),
        "seqvae.max_length": str(made_of.max_length),
        "seqvae.beam_size": str(made_of.beam_size),
        "seqvae.options": json.dumps({name: asdict(OPTIONS[name]) for name in names}),
        **made_of.metadata,
    }
