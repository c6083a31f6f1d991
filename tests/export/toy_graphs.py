"""Small graphs with every form of product that exported models have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]
VOCABULARY, WIDTH = 90, 64


def run(model: onnx.ModelProto, feed: Mapping[str, Array]) -> list[Array]:
    """All outputs, computed on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Array] = session.run(None, dict(feed))
    return found


def tied(seed: int = 0, width: int = WIDTH) -> onnx.ModelProto:
    """Ids to logits: look-up, a Gemm of each layout, a MatMul, tied output matrix, positions."""
    random = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e0"]),
        helper.make_node("Gather", ["positions", "place"], ["p"]),
        helper.make_node("Add", ["e0", "p"], ["e"]),
        helper.make_node("MatMul", ["e", "square"], ["h0"]),
        helper.make_node("Reshape", ["h0", "flat"], ["h1"]),
        helper.make_node("Gemm", ["h1", "up", "bias"], ["h2"], transB=1),
        helper.make_node("Relu", ["h2"], ["h3"]),
        helper.make_node("Gemm", ["h3", "down"], ["h4"]),
        helper.make_node("MatMul", ["h4", "small"], ["h5"]),
        helper.make_node("Add", ["h4", "h5"], ["h6"]),
        helper.make_node("Transpose", ["table"], ["flipped"], perm=[1, 0]),
        helper.make_node("MatMul", ["h6", "flipped"], ["logits"]),
    ]
    weights = [
        weight("table", VOCABULARY, width),
        weight("positions", 80, width),
        weight("square", width, width),
        weight("up", 128, width),
        weight("bias", 128),
        weight("down", 128, width),
        weight("small", width, 1),
        numpy_helper.from_array(np.array([-1, width]), "flat"),
        numpy_helper.from_array(np.array([0]), "place"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", 1])
    place = helper.make_tensor_value_info("place", TensorProto.INT64, [1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", VOCABULARY])
    graph = helper.make_graph(nodes, "tied", [ids, place], [logits], initializer=weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def relative(found: Array, wanted: Array) -> float:
    """Relative L2 error."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
