"""A bundle as a model repository of NVIDIA's Triton Inference Server, for fleets.

Triton merges waiting requests into one batch only where every tensor has a batch axis and every input
is given, so the graph is changed at its borders: texts are [B, 1], and the options have no defaults. Of
speech, sounds of one length are merged; a voice is a number in the bundle's list or, in a second model, heard in a
recording. Of frames, requests with as many of them are merged.
The configuration's fields: https://github.com/triton-inference-server/common, model_config.proto.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import check_path

if TYPE_CHECKING:
    import onnx

LIBRARY = "libortextensions.so"
"""The C++ build of onnxruntime-extensions; the one in the Python wheel needs a Python around it."""
_LARGEST_BATCH = 32
_DELAY = 2000  # microseconds that a request waits for others, a few steps of a small model
_QUEUE = 256
_TYPES = {1: "TYPE_FP32", 6: "TYPE_INT32", 7: "TYPE_INT64", 8: "TYPE_STRING", 9: "TYPE_BOOL"}
# Explicit noise is for callers of the graph; through a server a seed does the same. Of speech: what is for pieces of
# a longer sound, and vectors.
_LEFT_OUT = ("noise", "gain", "first", "voice")
HEARD = "_heard"
"""Ending of the name of the model that hears its voice in a recording: there a name would have no say."""


def write_triton_repository(
    bundle: Bundle, folder: Path, *, variant: str | None = None, name: str = "seqvae"
) -> Path:
    """Write `folder`/`name` with its `config.pbtxt` and version 1 of the model.

    Of a speech bundle that hears voices `folder`/`name`_heard is written too.

    Args:
        bundle: an open bundle.
        folder: the model repository; models that it already holds stay.
        variant: which to serve; the bundle's default without.
        name: of the model.

    Returns:
        The model's folder.

    Raises:
        UserError: the model exists, its name is not plain, or the folder cannot be written.
    """
    try:
        import onnx
    except ImportError:
        raise UserError('a Triton repository needs onnx: pip install "seqvae[export]"') from None

    if "/" in name or not check_path(name):
        raise UserError(f"triton: the model name {name!r} may hold letters, digits, _ . - only")
    whole = onnx.load(bundle.part(variant))
    models = {name: batched(whole, (*_LEFT_OUT, "reference"))}
    if bundle.speech is not None and bundle.speech.style:
        models[name + HEARD] = batched(whole, (*_LEFT_OUT, "speaker"))
    for one in models:
        if (folder / one).exists():
            raise UserError(f"{folder / one}: exists; delete it, or choose another name or folder")
    gpu = bundle.variant(variant).provider == "cuda"
    library = LIBRARY if bundle.tokenizer == "sentencepiece" else ""
    for one, model in models.items():
        readme = _readme(one, library)
        readme += _of_speech(bundle) if bundle.speech else ""
        readme += _of_frames(bundle) if bundle.frames else ""
        _write(folder, one, model, configuration(model, one, gpu=gpu, library=library), readme)
    return folder / name


def _write(folder: Path, name: str, model: "onnx.ModelProto", config: str, readme: str) -> None:
    import onnx

    place, partial = folder / name, folder / f".{name}.partial"
    try:
        (partial / "1").mkdir(parents=True, exist_ok=True)
        onnx.save(model, partial / "1" / "model.onnx")
        (partial / "config.pbtxt").write_text(config, encoding="utf-8")
        (partial / "README.md").write_text(readme, encoding="utf-8")
        partial.rename(place)
    except OSError as error:
        raise UserError(f"{error.filename or place}: cannot write ({error.strerror})") from error


def batched(model: "onnx.ModelProto", left_out: Collection[str] = _LEFT_OUT) -> "onnx.ModelProto":
    """A copy whose inputs are all required and whose tensors all begin with an axis of rows.

    Args:
        model: `model.onnx`: texts are [B], sounds [B, N], options [B, 1] with defaults.
        left_out: inputs that always have their defaults.

    Raises:
        UserError: an input has no axis at all.
    """
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    inputs = [value for value in graph.input if value.name not in left_out]
    names = {value.name for value in inputs}
    # An input that is a constant too is optional, which Triton refuses where it batches.
    constants = [tensor for tensor in graph.initializer if tensor.name not in names]
    axis = "triton/axis"
    constants.append(numpy_helper.from_array(np.array([1], np.int64), axis))
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []
    for value in [*inputs, *graph.output]:
        shape = value.type.tensor_type.shape.dim
        if not shape:
            raise UserError(f"triton: {value.name} has no axis of rows; use `seqvae serve` instead")
        shape[0].dim_param = "B"
        if len(shape) > 1:
            continue
        # Triton's dims may not be empty: a row of what has one value a row is [1].
        shape.add().dim_value = 1
        inner = f"{value.name}/flat"
        _rename(graph, value.name, inner)
        if value.name in names:
            before.append(helper.make_node("Squeeze", [value.name, axis], [inner]))
        else:
            after.append(helper.make_node("Unsqueeze", [inner, axis], [value.name]))
    nodes = [*before, *graph.node, *after]
    made = helper.make_graph(nodes, graph.name, inputs, [*graph.output], initializer=constants)
    changed.graph.CopyFrom(made)
    return changed


def _rename(graph: "onnx.GraphProto", old: str, new: str) -> None:
    """Let every node read and write `new` instead of `old`, in bodies of If and Loop too."""
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                _rename(body, old, new)
                for value in body.output:
                    if value.name == old:
                        value.name = new


def configuration(model: "onnx.ModelProto", name: str, *, gpu: bool, library: str = "") -> str:
    """`config.pbtxt` of a graph that `batched` made.

    Args:
        model: the graph.
        name: of the model.
        gpu: whether instances run on GPUs.
        library: file name of the operators that the graph needs beside ONNX Runtime's, or "".
    """
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {_LARGEST_BATCH}",
        *(_tensor("input", value) for value in model.graph.input),
        *(_tensor("output", value) for value in model.graph.output),
        "dynamic_batching {",
        f"  max_queue_delay_microseconds: {_DELAY}",
        "  default_queue_policy {",
        # As `seqvae serve`: what does not fit into the queue is refused at once.
        f"    max_queue_size: {_QUEUE}",
        "  }",
        "}",
        f"instance_group [ {{ count: 1, kind: KIND_{'GPU' if gpu else 'CPU'} }} ]",
    ]
    if library:
        lines.append(f'model_operations {{ op_library_filename: "{library}" }}')
    return "\n".join(lines) + "\n"


def _tensor(kind: str, value: "onnx.ValueInfoProto") -> str:
    tensor = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim[1:]]
    return (
        f'{kind} [ {{ name: "{value.name}", data_type: {_TYPES[tensor.elem_type]}, '
        f"dims: {dims} }} ]"
    )


def _readme(name: str, library: str) -> str:
    lines = [
        f"# {name}: a model for Triton Inference Server",
        "",
        "All inputs are required; each row of a request has options of its own, shape [B, 1].",
        "Requests are merged into batches and their answers do not depend on it.",
    ]
    if library:
        lines += [
            "",
            f"The tokenizer is inside the graph and needs `{library}`, the C++ library of",
            "onnxruntime-extensions (build it from its sources, or take it from the NuGet package",
            "Microsoft.ML.OnnxRuntime.Extensions; the Python wheel's library needs Python). Put it",
            "where the server finds libraries, e.g. with LD_LIBRARY_PATH, or write its absolute path",
            "into `config.pbtxt`. `seqvae export --tokenizer ids` makes a graph that needs none.",
        ]
    return "\n".join(lines) + "\n"


def _of_speech(bundle: Bundle) -> str:
    assert bundle.speech is not None
    voices = [f"| {number} | {name} |" for number, name in enumerate(bundle.labels)]
    lines = [
        "",
        f"`audio` is mono at {bundle.speech.rate} Hz, `converted` as long as it; a second takes about 20 MB, so",
        "cut what is longer than a minute. `noise_scale` 0, `seed` 0 and, where it is an input,",
        "`strength` 1 are the usual values. `speaker` is one of",
        "",
        "| speaker | voice |",
        "|---|---|",
        *voices,
        "",
        f"A model whose name ends in `{HEARD}` takes `reference`, a recording of the voice at the same rate,",
        "instead of `speaker`; bundles that know voices by name only have none.",
    ]
    return "\n".join(lines) + "\n"


def _of_frames(bundle: Bundle) -> str:
    assert bundle.frames is not None
    lines = [
        "",
        f"`frames` are [T, {bundle.frames.features}], at most {bundle.frames.longest} of them; requests with as many are merged,",
        "so pad what you can and give `lengths`. `noise_scale` 0, `seed` 0 and `sample` 0 are the usual values.",
    ]
    if bundle.labels:
        lines += [
            "`label` is one of the numbers below, and `target` the one to write under, or -1 for `label`.",
            "",
            "| label | name |",
            "|---|---|",
            *(f"| {number} | {name} |" for number, name in enumerate(bundle.labels)),
        ]
    return "\n".join(lines) + "\n"
