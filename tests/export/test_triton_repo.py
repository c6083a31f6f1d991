"""A Triton repository: a configuration that Triton's schema reads, of a graph that is as it says."""

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.triton_repo import batched, configuration, write_triton_repository
from tests.export.toy_bundle import make, replace
from tests.export.toy_graphs import run


def whole() -> onnx.ModelProto:
    """A stand-in for `model.onnx`: texts [B] and options with defaults, If with an outer value."""
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ["B"])
    seed = helper.make_tensor_value_info("seed", TensorProto.INT64, ["N", 1])
    noise = helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["M", 3])
    written = helper.make_tensor_value_info("written", TensorProto.STRING, ["B"])
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", "T"])
    inner = helper.make_tensor_value_info("inner", TensorProto.STRING, ["B"])
    branch = helper.make_graph(
        [helper.make_node("Identity", ["text"], ["inner"])], "b", [], [inner]
    )
    nodes = [
        helper.make_node("If", ["yes"], ["written"], then_branch=branch, else_branch=branch),
        helper.make_node("Concat", ["seed", "seed"], ["ids"], axis=1),
        helper.make_node("Shape", ["noise"], ["unused"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(True), "yes"),
        numpy_helper.from_array(np.array([[7]]), "seed"),
        numpy_helper.from_array(np.zeros((0, 3), np.float32), "noise"),
    ]
    graph = helper.make_graph(
        nodes, "whole", [text, seed, noise], [written, ids], initializer=constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def schema() -> Any:  # noqa: ANN401
    """Triton's own message, from tritonclient; its package imports grpc, this one file does not."""
    found = importlib.util.find_spec("tritonclient")
    paths = (
        [Path(p) / "grpc" / "model_config_pb2.py" for p in found.submodule_search_locations or ()]
        if found
        else []
    )
    if not any(path.exists() for path in paths):
        pytest.skip("tritonclient's protobuf schema is not installed")
    spec = importlib.util.spec_from_file_location("model_config_pb2", paths[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_tensor_has_a_batch_axis_and_every_input_is_required() -> None:
    model = batched(whole())
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.input] == ["text", "seed"]
    assert not {t.name for t in model.graph.initializer} & {"text", "seed"}
    feed = {"text": np.array([["a"], ["b"]], object), "seed": np.array([[1], [2]])}
    written, ids = run(model, feed)
    assert written.tolist() == [["a"], ["b"]]
    assert ids.tolist() == [[1, 1], [2, 2]]
    with pytest.raises(Exception, match="seed"):
        run(model, {"text": feed["text"]})


@pytest.mark.parametrize("library", ["", "libortextensions.so"])
def test_the_configuration_is_one_of_tritons(library: str) -> None:
    pb2 = schema()
    text_format = importlib.import_module("google.protobuf.text_format")
    text = configuration(batched(whole()), "toy", gpu=False, library=library)
    config = text_format.Parse(text, pb2.ModelConfig())
    assert config.name == "toy" and config.backend == "onnxruntime"
    assert config.max_batch_size >= 8 and config.HasField("dynamic_batching")
    assert config.dynamic_batching.default_queue_policy.max_queue_size > 0
    inputs = {value.name: value for value in config.input}
    assert pb2.DataType.Name(inputs["text"].data_type) == "TYPE_STRING"
    assert list(inputs["text"].dims) == [1] and list(inputs["seed"].dims) == [1]
    assert not any(value.optional for value in config.input)
    outputs = {value.name: list(value.dims) for value in config.output}
    assert outputs == {"written": [1], "ids": [-1]}
    assert list(config.model_operations.op_library_filename) == ([library] if library else [])
    assert pb2.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) == "KIND_CPU"


def test_the_configuration_is_balanced_text() -> None:
    text = configuration(batched(whole()), "toy", gpu=True)
    assert text.count("{") == text.count("}") and text.count("[") == text.count("]")
    assert "KIND_GPU" in text
    assert re.findall(r'name: "(\w+)"', text) == ["toy", "text", "seed", "written", "ids"]


def test_the_repository(tmp_path: Path) -> None:
    toy = make(tmp_path / "toy").path
    replace(toy, "cpu-fp32/model.onnx", whole().SerializeToString())
    bundle = Bundle.open(toy)
    place = write_triton_repository(bundle, tmp_path / "models", name="mine")
    names = sorted(
        path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()
    )
    assert names == ["1/model.onnx", "README.md", "config.pbtxt"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    with pytest.raises(UserError, match="exists; delete it"):
        write_triton_repository(bundle, tmp_path / "models", name="mine")
    with pytest.raises(UserError, match="model name"):
        write_triton_repository(bundle, tmp_path / "models", name="../mine")


def test_a_graph_without_rows_is_refused() -> None:
    model = whole()
    model.graph.input[1].type.tensor_type.shape.ClearField("dim")
    with pytest.raises(UserError, match="seed has no axis of rows"):
        batched(model)
