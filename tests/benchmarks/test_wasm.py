"""Graphs run in WebAssembly from Python, with types and shapes as they are."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import wasm
from seqvae.ops.philox import normal

pytestmark = pytest.mark.skipif(wasm.missing() is not None, reason=str(wasm.missing()))


def save(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, int]) -> Path:
    """A graph with one output, `y`, of the type of the last input."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, kind, None) for name, kind in inputs.items()],
        [value("y", list(inputs.values())[-1], None)],
    )
    opset = [helper.make_opsetid("", 20)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    )
    return path


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1.5, -0.0], [np.inf, 1e-40]], np.float32),
        np.array([2**63 - 1, -(2**63), 0]),
        np.array([[True, False]]),
        np.zeros((0, 4), np.float32),
        np.array([["où", "日本"], ["🦊", ""]], dtype=object),
    ],
    ids=lambda v: v.dtype.name,
)
def test_values_come_back_as_they_went(tmp_path: Path, values: wasm.Array) -> None:
    kind = TensorProto.STRING
    if values.dtype != object:
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    model = save(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], {"x": kind})
    answers = wasm.run(model, [{"x": values}, {"x": values[:1]}], ["y"])
    first, second = (one["y"] for one in answers.outputs)
    assert first.dtype == values.dtype
    np.testing.assert_array_equal(first, values)
    np.testing.assert_array_equal(second, values[:1])


def test_what_fails_says_why(tmp_path: Path) -> None:
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["a", "b"], ["y"])],
        {"a": TensorProto.FLOAT, "b": TensorProto.FLOAT},
    )
    with pytest.raises(RuntimeError, match=r"m\.onnx in WebAssembly: .*'b' is missing"):
        wasm.run(model, [{"a": np.zeros(2, np.float32)}], ["y"])


def test_weights_may_lie_beside_the_model(tmp_path: Path) -> None:
    weight = np.arange(600, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [600])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
        initializer=[numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(
        model,
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="parts.data",
        size_threshold=0,
    )
    feeds = {"x": np.full(600, 2, np.float32)}
    answers = wasm.run(tmp_path / "m.onnx", [feeds], ["y"], [tmp_path / "parts.data"])
    np.testing.assert_array_equal(answers.outputs[0]["y"], 2 * weight)


def test_noise_is_that_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from seqvae.export.noise import Normals, Uniforms
    from seqvae.export.onnx_export import export_module
    from seqvae.tasks.sampling import token_uniforms

    seeds = torch.tensor([[0], [-1], [2**63 - 1], [-(2**63)], [123456789]])
    samples = torch.tensor([[0], [2**31 - 2], [5], [1], [0]])
    rows = {"seed": {0: "B"}, "sample": {0: "B"}}
    parts = {"seed": seeds, "sample": samples}
    uniforms, normals = tmp_path / "uniforms.onnx", tmp_path / "normals.onnx"
    steps = {**parts, "steps": torch.tensor(37)}
    onnx.save(export_module(Uniforms(), steps, ["y"], rows), str(uniforms))
    onnx.save(export_module(Normals(33), parts, ["y"], rows), str(normals))
    feeds = {name: value.numpy() for name, value in parts.items()}

    got = wasm.run(uniforms, [{**feeds, "steps": np.array(65)}], ["y"]).outputs[0]["y"]
    want = torch.stack(
        [token_uniforms(s, k, 0, 65)[0] for s, k in zip(seeds, samples, strict=True)]
    )
    np.testing.assert_array_equal(got, want.numpy())

    got = wasm.run(normals, [feeds], ["y"]).outputs[0]["y"]
    small = [0, 2, 3, 4]  # samples whose numbers `normal` can count up to
    for row in small:
        alone = normal(seeds[row], (int(samples[row]) + 1, 33))[-1]
        np.testing.assert_allclose(got[row], alone.numpy(), atol=1e-6)
