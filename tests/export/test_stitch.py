"""Graphs put together from toys: one name, one weight, one computation each."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seqvae.export.stitch import Scope, State, following
from tests.export.exported import Array, Session

ROWS, WIDTH, END = 4, 50, 7.0


def floats(values: object) -> Array:
    return np.array(values, np.float32)


def value(name: str, kind: int = TensorProto.FLOAT, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def part(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, Array] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "part", inputs, outputs, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def weight() -> Array:
    return np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)


def step(opset: int = 20) -> onnx.ModelProto:
    """x, cond_0, h -> y = x + 1 (at most END), n_h = h @ w * cond_0, and a cache that grows."""
    node = helper.make_node
    return part(
        [
            node("Constant", [], ["one"], value=numpy_helper.from_array(floats([1]))),
            node("Add", ["x", "one"], ["more"]),
            node("Min", ["more", "end"], ["y"]),
            node("MatMul", ["h", "w"], ["product"], name="product"),
            node("Mul", ["product", "cond_0"], ["n_h"]),
            node("Concat", ["kv", "x"], ["n_kv"], axis=1),
        ],
        [
            value("x", TensorProto.FLOAT, "B", 1),
            value("cond_0", TensorProto.FLOAT, "B", 1),
            value("h", TensorProto.FLOAT, "B", WIDTH),
            value("kv", TensorProto.FLOAT, "B", "P"),
        ],
        [
            value("y", TensorProto.FLOAT, "B", 1),
            value("n_h", TensorProto.FLOAT, "B", WIDTH),
            value("n_kv", TensorProto.FLOAT, "B", "P1"),
        ],
        {"w": weight(), "end": floats([END])},
        opset,
    )


def every_graph(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from every_graph(attribute.g)


def names_made(model: onnx.ModelProto) -> list[str]:
    made = [v.name for v in model.graph.initializer]
    for graph in every_graph(model.graph):
        made += [v.name for v in graph.input]
        made += [name for node in graph.node for name in node.output if name]
    return made


def counting(opset: int = 20, twice: bool = False) -> onnx.ModelProto:
    """Rows x [B, 1] count up to END in a Loop; it ends when all are there."""
    scope = Scope(opset)
    scope.reserve(["x", "c", "counts", "h", "kv"])
    rows = scope.add("Shape", "x", start=0, end=1)
    wide = scope.add("Concat", rows, scope.constant([WIDTH]), axis=0)
    empty = scope.add("Concat", rows, scope.constant([0]), axis=0)
    zero = scope.constant(0, np.float32)
    first = {
        "x": "x",
        "h": scope.add("Expand", scope.constant(1, np.float32), wide),
        "kv": scope.add("Expand", zero, empty),
    }

    def body(inner: Scope, number: str, now: State) -> tuple[str, State, list[str]]:
        found = inner.inline(step(opset), {**now, "cond_0": "c"}, "step")
        if twice:
            found |= {"n_h": inner.inline(step(opset), {**now, "cond_0": "c"}, "step")["n_h"]}
        below = inner.add("Less", found["y"], inner.constant(END, np.float32))
        most = inner.add("ReduceMax", inner.add("Cast", below, to=TensorProto.INT32), keepdims=0)
        more = inner.add("Cast", most, to=TensorProto.BOOL)
        return more, following(found) | {"x": found["y"]}, [found["y"]]

    trips = scope.constant(1000, np.int64)
    state, (counts,) = scope.loop(trips, scope.constant(True), first, body)
    for name, result in {"counts": counts, "h": state["h"], "kv": state["kv"]}.items():
        scope.rename(result, name)
    return scope.model(
        [value("x", TensorProto.FLOAT, "B", 1), value("c", TensorProto.FLOAT, "B", 1)],
        [
            value("counts", TensorProto.FLOAT, "T", "B", 1),
            value("h", TensorProto.FLOAT, "B", WIDTH),
            value("kv", TensorProto.FLOAT, "B", "T"),
        ],
        metadata={"of": "toys"},
    )


@pytest.mark.parametrize("opset", [18, 20, 21, 23])
def test_a_loop_runs_until_its_body_ends_it(opset: int) -> None:
    model = counting(opset)
    onnx.checker.check_model(model, full_check=True)
    x, c = floats([[0], [4], [6], [2]]), floats([[0.1], [0.2], [-0.1], [0.05]])
    found = Session(model)(x=x, c=c)
    assert found["counts"].shape == (7, ROWS, 1)
    assert found["counts"][:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found["kv"][1].tolist() == [4, 5, 6, 7, 7, 7, 7]
    h = np.ones((ROWS, WIDTH), np.float32)
    for _ in range(7):
        h = h @ weight() * c
    np.testing.assert_allclose(found["h"], h, rtol=1e-4)
    assert {p.key: p.value for p in model.metadata_props} == {"of": "toys"}


def test_weights_lie_outside_once_and_constants_are_not_carried() -> None:
    model, twice = counting(), counting(twice=True)
    for made in (model, twice):
        outer, *bodies = every_graph(made.graph)
        assert bodies and not any(len(body.initializer) for body in bodies)
        large = [t for t in outer.initializer if list(t.dims) == [WIDTH, WIDTH]]
        assert len(large) == 1
        # Number of the round, condition, and the state; `c` is taken from outside.
        assert len(bodies[0].input) == 2 + 3
        names = names_made(made)
        assert len(names) == len(set(names))
        # A constant of the part is one with the same constant of the graph around it.
        assert not [n for body in bodies for n in body.node if n.op_type == "Constant"]
    assert len(twice.SerializeToString()) - len(model.SerializeToString()) < 2000


def test_a_part_may_hold_branches_and_functions() -> None:
    node = helper.make_node
    yes = helper.make_graph(
        [node("Add", ["x", "w"], ["yes"])],
        "yes",
        [],
        [value("yes", TensorProto.FLOAT, 1)],
        initializer=[numpy_helper.from_array(floats([2]), "w")],
    )
    no = helper.make_graph(
        [],
        "no",
        [],
        [value("c", TensorProto.FLOAT, 1)],
        initializer=[numpy_helper.from_array(floats([9]), "c")],
    )
    doubled = helper.make_function(
        "own",
        "Double",
        ["a"],
        ["b"],
        [node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )
    model = part(
        [
            node("If", ["flag"], ["some"], then_branch=yes, else_branch=no),
            node("Double", ["some"], ["y"], domain="own"),
        ],
        [value("x", TensorProto.FLOAT, 1), value("flag", TensorProto.BOOL)],
        [value("y", TensorProto.FLOAT, 1)],
    )
    model.functions.append(doubled)
    model.opset_import.append(helper.make_opsetid("own", 1))
    scope = Scope(20)
    scope.reserve(["x", "flag", "y", "w"])
    first = scope.inline(model, {"x": "x", "flag": "flag"}, "part")
    second = scope.inline(model, {"x": first["y"], "flag": "flag"}, "part")
    scope.rename(second["y"], "y")
    whole = scope.model(
        [value("x", TensorProto.FLOAT, 1), value("flag", TensorProto.BOOL)],
        [value("y", TensorProto.FLOAT, 1)],
    )
    onnx.checker.check_model(whole, full_check=True)
    assert not whole.functions
    session = Session(whole)
    assert session(x=floats([1]), flag=np.array(True))["y"].tolist() == [16]
    assert session(x=floats([1]), flag=np.array(False))["y"].tolist() == [18]


def test_branches_may_return_what_they_did_not_make() -> None:
    scope = Scope(20)
    scope.reserve(["x", "y", "z"])
    flag = scope.add("Greater", scope.add("Squeeze", "x"), scope.constant(0, np.float32))
    one, two = scope.when(flag, lambda _: ["x", "x"], lambda inner: [inner.add("Neg", "x"), "x"])
    scope.rename(one, "y")
    scope.rename(two, "z")
    shape = (TensorProto.FLOAT, 1)
    model = scope.model([value("x", *shape)], [value("y", *shape), value("z", *shape)])
    onnx.checker.check_model(model, full_check=True)
    found = Session(model)(x=floats([-3]))
    assert (found["y"].tolist(), found["z"].tolist()) == ([3], [-3])


def test_a_default_is_never_shared_with_a_constant() -> None:
    scope = Scope(20)
    scope.reserve(["x", "y"])
    scope.rename(scope.add("Add", "x", scope.constant([5], np.float32)), "y")
    model = scope.model(
        [value("x", TensorProto.FLOAT, 1)],
        [value("y", TensorProto.FLOAT, 1)],
        defaults=[numpy_helper.from_array(floats([5]), "x")],
    )
    session = Session(model)
    assert session()["y"].tolist() == [10]
    assert session(x=floats([1]))["y"].tolist() == [6]


def test_what_nothing_needs_is_left_out() -> None:
    scope = Scope(20)
    scope.reserve(["x", "y"])
    scope.add("Neg", scope.constant(weight()))
    scope.rename(scope.add("Neg", "x"), "y")
    model = scope.model([value("x")], [value("y")])
    assert [node.op_type for node in model.graph.node] == ["Neg", "Identity"]
    assert not model.graph.initializer


def test_what_does_not_fit_is_refused() -> None:
    scope = Scope(20)
    with pytest.raises(ValueError, match="step has opset 18, the graph around it 20"):
        scope.inline(step(18), {}, "step")
    with pytest.raises(ValueError, match="step: no value is given for the input cond_0"):
        scope.inline(step(), {"x": "x", "h": "h", "kv": "kv"}, "step")
    with pytest.raises(ValueError, match="different numbers of results"):
        scope.when("flag", lambda _: ["x"], lambda _: [])
