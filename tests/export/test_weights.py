"""Several graphs with one file of weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.export.bundle_graph import WEIGHTS, check_graph
from seqvae.export.weights import GRANULARITY, LARGE, PAGE, save_parts

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
SHARED = RANDOM.normal(size=(64, 48)).astype(np.float32)
OWN = RANDOM.normal(size=(48, 30)).astype(np.float32)


def product(*weights: Array) -> Any:  # noqa: ANN401 (a model; onnx has no types)
    """x [B, K] @ each weight in turn -> y."""
    helper = onnx.helper
    nodes = [
        helper.make_node("MatMul", [f"y{i}" if i else "x", f"w{i}"], [f"y{i + 1}"])
        for i in range(len(weights))
    ]
    nodes.append(helper.make_node("Identity", [f"y{len(weights)}"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", 1, ["B", len(weights[0])])],
        [helper.make_tensor_value_info("y", 1, ["B", weights[-1].shape[1]])],
        [onnx.numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(path: Path, x: Array) -> Array:
    found: Array = onnxruntime.InferenceSession(path).run(None, {"x": x})[0]
    return found


def places(path: Path) -> list[tuple[int, int]]:
    """Offset and length of the tensors of a graph that are outside it."""
    model = onnx.load(path, load_external_data=False)
    found = []
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            assert entries["location"] == WEIGHTS
            found.append((int(entries["offset"]), int(entries["length"])))
    return found


def test_graphs_compute_the_same_and_share_what_is_equal(tmp_path: Path) -> None:
    parts = {"b": product(SHARED, OWN), "a": product(SHARED)}
    assert save_parts(parts, tmp_path) == ("a.onnx", "b.onnx", WEIGHTS)
    x = RANDOM.normal(size=(3, 64)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "a.onnx", x), x @ SHARED, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(tmp_path / "b.onnx", x), x @ SHARED @ OWN, rtol=1e-4, atol=1e-4)
    assert places(tmp_path / "a.onnx") == places(tmp_path / "b.onnx")[:1] == [(0, SHARED.nbytes)]
    assert (tmp_path / WEIGHTS).stat().st_size == 12288 + OWN.nbytes  # to the next page, then OWN
    assert all(check_graph(tmp_path / f"{name}.onnx") for name in parts)


def test_bytes_are_the_same_again_in_any_order(tmp_path: Path) -> None:
    parts = {"a": product(SHARED), "b": product(SHARED, OWN)}
    first, second = tmp_path / "first", tmp_path / "second"
    names = save_parts(parts, first)
    assert save_parts(dict(reversed(parts.items())), second) == names
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_parts_are_left_as_they_were(tmp_path: Path) -> None:
    part = product(SHARED)
    before = part.SerializeToString(deterministic=True)
    save_parts({"a": part}, tmp_path)
    assert part.SerializeToString(deterministic=True) == before


def test_tensors_begin_where_they_can_be_mapped(tmp_path: Path) -> None:
    large = RANDOM.normal(size=(30, LARGE // 4 // 30 + 1)).astype(np.float32)
    save_parts({"a": product(SHARED, OWN, large)}, tmp_path)
    offsets = [offset for offset, _ in places(tmp_path / "a.onnx")]
    assert len(offsets) == 3 and all(offset % PAGE == 0 for offset in offsets)
    assert offsets[-1] % GRANULARITY == 0
    run(tmp_path / "a.onnx", np.ones((1, 64), np.float32))


def test_small_tensors_strings_and_defaults_stay_inside(tmp_path: Path) -> None:
    small = product(SHARED[:, :8])
    small.graph.initializer.append(
        onnx.helper.make_tensor("words", onnx.TensorProto.STRING, [2000], [b"word"] * 2000)
    )
    default = onnx.numpy_helper.from_array(OWN, "default")
    small.graph.initializer.append(default)
    small.graph.input.append(onnx.helper.make_tensor_value_info("default", 1, OWN.shape))
    (tmp_path / WEIGHTS).write_bytes(b"of an earlier export")
    assert save_parts({"a": small}, tmp_path) == ("a.onnx",)
    assert not (tmp_path / WEIGHTS).exists()
    assert not check_graph(tmp_path / "a.onnx")


def test_content_in_other_fields_is_found(tmp_path: Path) -> None:
    part = product(SHARED)
    typed = onnx.helper.make_tensor("w0", 1, SHARED.shape, SHARED.ravel())
    assert typed.float_data
    part.graph.initializer[0].CopyFrom(typed)
    save_parts({"a": part, "b": product(SHARED)}, tmp_path)
    assert places(tmp_path / "a.onnx") == places(tmp_path / "b.onnx") == [(0, SHARED.nbytes)]
    x = np.ones((1, 64), np.float32)
    np.testing.assert_array_equal(run(tmp_path / "a.onnx", x), run(tmp_path / "b.onnx", x))


def test_weights_in_bodies_are_found(tmp_path: Path) -> None:
    helper = onnx.helper
    branches = {}
    for name, sign in (("then_branch", 1), ("else_branch", -1)):
        weight = onnx.numpy_helper.from_array(sign * SHARED, f"{name}_w")
        out = helper.make_tensor_value_info(f"{name}_y", 1, ["B", 48])
        node = helper.make_node("MatMul", ["x", weight.name], [out.name])
        branches[name] = helper.make_graph([node], name, [], [out], [weight])
    whole = helper.make_graph(
        [helper.make_node("If", ["flag"], ["y"], **branches)],
        "choice",
        [
            helper.make_tensor_value_info("x", 1, ["B", 64]),
            helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", 1, ["B", 48])],
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    save_parts({"a": model, "b": product(SHARED)}, tmp_path)
    assert (tmp_path / "a.onnx").stat().st_size < 2000
    assert (tmp_path / WEIGHTS).stat().st_size == 2 * SHARED.nbytes
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    x = RANDOM.normal(size=(2, 64)).astype(np.float32)
    for flag, sign in ((True, 1), (False, -1)):
        found = session.run(None, {"x": x, "flag": np.array(flag)})[0]
        np.testing.assert_allclose(found, sign * x @ SHARED, rtol=1e-4, atol=1e-5)


def test_a_part_without_its_weights_is_refused(tmp_path: Path) -> None:
    save_parts({"a": product(SHARED)}, tmp_path / "first")
    lean = onnx.load(tmp_path / "first" / "a.onnx", load_external_data=False)
    with pytest.raises(UserError, match="part a: the weight w0 is in another file"):
        save_parts({"a": lean}, tmp_path / "second")
