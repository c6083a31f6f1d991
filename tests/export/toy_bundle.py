"""A small bundle with toy graphs, for what does not need a model."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from seqvae.export.bundle import Bundle, GoldenRow, Written
from seqvae.export.bundle_graph import WEIGHTS
from seqvae.export.bundle_manifest import OPTIONS, VARIANTS, Manifest, Variant
from seqvae.export.bundle_writer import BundleWriter

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "<blank>", "a", "b"]


def graph(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> onnx.ModelProto:
    """A model from `x` [N, 2] to `y`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    made = helper.make_graph(nodes, "toy", [x], [y], initializer=weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def plus(value: float) -> onnx.ModelProto:
    """x + value, the value inside the file."""
    tensor = onnx.numpy_helper.from_array(np.full(2, value, np.float32), "w")
    return graph([helper.make_node("Add", ["x", "w"], ["y"])], [tensor])


def external(location: str, key: str = "location") -> onnx.TensorProto:
    """A weight that lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key=key, value=location)
    return tensor


def manifest(variants: tuple[str, ...] = ("cpu-fp32", "cpu-int8")) -> Manifest:
    """Facts about the toy."""
    made = {
        name: Variant(*VARIANTS[name][:2], parts=("model", "encoder"), bytes=100, verify={})
        for name in variants
    }
    return Manifest(
        version="0.1.0",
        kind="text",
        tasks=("sample",),
        latent=2,
        vocabulary=len(PIECES),
        max_length=16,
        beam_size=4,
        tokenizer="ids",
        opset=20,
        labels=(),
        options=OPTIONS,
        special={"pad": 0, "unk": 1, "bos": 2, "eos": 3, "blank": 4},
        default_variant=variants[0],
        variants=made,
    )


def fill(writer: BundleWriter, shift: float = 1.0) -> Manifest:
    """Write everything but the manifest."""
    facts = manifest()
    for name in facts.variants:
        folder = writer.folder(name)
        onnx.save(plus(shift), folder / "model.onnx")
        shared = graph([helper.make_node("Add", ["x", "w"], ["y"])], [external(WEIGHTS)])
        onnx.save(shared, folder / "encoder.onnx")
        (folder / WEIGHTS).write_bytes(np.full(2, shift, np.float32).tobytes())
    writer.write_tokenizer(b"model", PIECES)
    one = Written("ab", (5, 6, 3), -1.5, True)
    writer.write_golden([GoldenRow("word", "ab", {"seed": 1}, {"cpu-fp32": one})])
    writer.write_readme("# Toy\n")
    return facts


def make(out: Path, *, overwrite: bool = False, shift: float = 1.0) -> Bundle:
    """Write a toy bundle."""
    with BundleWriter(out, overwrite=overwrite) as writer:
        return writer.publish(fill(writer, shift))


def edit(toy: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change `seqvae.json`."""
    path = toy / "seqvae.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def replace(toy: Path, name: str, content: bytes) -> None:
    """Change a file and its digest, as someone does who can write the whole bundle."""
    (toy / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit(toy, lambda d: d["files"].update({name: {"sha256": digest, "bytes": len(content)}}))
