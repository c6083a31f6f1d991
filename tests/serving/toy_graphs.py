"""Small ONNX graphs with the names of the parts: what needs onnxruntime but no model."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
VOCABULARY, LATENT, HEADS = 7, 3, 2


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a graph."""
    tensors = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def value(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def adder(path: Path) -> Path:
    """`y` = `x` + `bias`, the bias 1 where it is not given."""
    return save(
        path,
        [helper.make_node("Add", ["x", "bias"], ["y"])],
        [value("x", FLOAT, "N"), value("bias", FLOAT, "M")],
        [value("y", FLOAT, "N")],
        {"bias": np.ones(1, np.float32)},
    )


def start(path: Path) -> Path:
    """From z: the constant `cond_0` = 2 z, and the cache `kv_0` [B, 2, 1, D] = z twice."""
    node = helper.make_node
    return save(
        path,
        [
            node("Add", ["z", "z"], ["cond_0"]),
            node("Unsqueeze", ["z", "axes"], ["wide"]),
            node("Concat", ["wide", "wide"], ["kv_0"], axis=1),
        ],
        [value("z", FLOAT, "B", LATENT)],
        [value("cond_0", FLOAT, "B", LATENT), value("kv_0", FLOAT, "B", HEADS, "P", LATENT)],
        {"axes": np.array([1, 2], np.int64)},
    )


def step(path: Path) -> Path:
    """Logits from the sum of a cache that each step extends by cond_0 + token + position."""
    node = helper.make_node
    weight = np.random.default_rng(0).normal(size=(LATENT, VOCABULARY)).astype(np.float32)
    return save(
        path,
        [
            node("Add", ["token", "position"], ["number"]),
            node("Cast", ["number"], ["shift"], to=FLOAT),
            node("Add", ["cond_0", "shift"], ["new"]),
            node("Unsqueeze", ["new", "axes"], ["wide"]),
            node("Concat", ["wide", "wide"], ["both"], axis=1),
            node("Concat", ["kv_0", "both"], ["n_kv_0"], axis=2),
            node("ReduceSum", ["n_kv_0", "inner"], ["total"], keepdims=0),
            node("MatMul", ["total", "weight"], ["logits"]),
        ],
        [
            value("token", INT64, "B", 1),
            value("position", INT64),
            value("cond_0", FLOAT, "B", LATENT),
            value("kv_0", FLOAT, "B", HEADS, "P", LATENT),
        ],
        [
            value("logits", FLOAT, "B", VOCABULARY),
            value("n_kv_0", FLOAT, "B", HEADS, "P1", LATENT),
        ],
        {
            "axes": np.array([1, 2], np.int64),
            "inner": np.array([1, 2], np.int64),
            "weight": weight,
        },
    )
