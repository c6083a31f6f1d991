"""No ONNX file of a bundle makes the runtime read anything outside it."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from seqvae.errors import UserError
from seqvae.export import bundle_graph
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_graph import WEIGHTS, check_graph
from tests.export.toy_bundle import external, graph, make, plus, replace

Place = Callable[[onnx.TensorProto], onnx.ModelProto]
ADD = helper.make_node("Add", ["x", "w"], ["y"])


def in_initializer(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return graph([ADD], [tensor])


def in_constant(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return graph([helper.make_node("Constant", [], ["w"], value=tensor), ADD], [])


def in_sparse(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = graph([ADD], [])
    model.graph.sparse_initializer.add(indices=tensor)
    return model


def in_tensors(tensor: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Identity", ["x"], ["y"])
    node.attribute.add(name="many", type=onnx.AttributeProto.TENSORS).tensors.append(tensor)
    return graph([node], [])


def in_bodies(tensor: onnx.TensorProto, depth: int = 3) -> onnx.ModelProto:
    body = in_constant(tensor).graph
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
        body = graph([node], []).graph
    return helper.make_model(body)


def in_function(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = graph([ADD], [])
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    model.functions.append(
        helper.make_function("", "F", [], ["y"], [node], [helper.make_opsetid("", 20)])
    )
    return model


def in_training(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = graph([ADD], [])
    model.training_info.add().initialization.initializer.append(tensor)
    return model


PLACES = [
    in_initializer,
    in_constant,
    in_sparse,
    in_tensors,
    in_bodies,
    in_function,
    in_training,
]
LOCATIONS = [
    "../parts.data",
    "/etc/passwd",
    "./parts.data",
    "sub/../../parts.data",
    "parts.data\0.txt",
    "*/_ORT_MEM_ADDR_/*",
    "",
    "PARTS.DATA",
    "\udcff",
]


def save(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("place", PLACES)
def test_weights_elsewhere_are_refused_wherever_they_hide(tmp_path: Path, place: Place) -> None:
    path = save(tmp_path / "model.onnx", place(external(WEIGHTS)))
    assert check_graph(path)
    save(path, place(external("../outside")))
    with pytest.raises(UserError, match=r"weights are to be read from '\.\./outside'"):
        check_graph(path)


@pytest.mark.parametrize("location", LOCATIONS)
def test_odd_locations(tmp_path: Path, location: str) -> None:
    tensor = external("")
    entry = tensor.external_data[0]
    if location == "\udcff":  # not a string for protobuf: written by hand
        raw = save(tmp_path / "m", in_initializer(external("@@"))).read_bytes()
        (tmp_path / "m").write_bytes(raw.replace(b"@@", b"\xff\xfe"))
    else:
        entry.value = location
        save(tmp_path / "m", in_initializer(tensor))
    with pytest.raises(UserError, match="weights are to be read"):
        check_graph(tmp_path / "m")


def test_a_second_location_does_not_hide_the_first(tmp_path: Path) -> None:
    tensor = external("/etc/passwd")
    tensor.external_data.add(key="location", value=WEIGHTS)
    with pytest.raises(UserError, match="/etc/passwd"):
        check_graph(save(tmp_path / "m", in_initializer(tensor)))


def test_a_key_that_comes_twice_is_read_as_protobuf_reads_it(tmp_path: Path) -> None:
    raw = save(tmp_path / "m", in_initializer(external("/etc/pass", key="locatiom"))).read_bytes()
    entry = b"\x0a\x08locatiom\x12\x09/etc/pass"
    assert entry in raw
    # The same length, so that the lengths around it hold: a key, a value, then the key again.
    changed = b"\x0a\x01z\x0a\x08location\x12\x06/etc/p"
    assert len(changed) == len(entry)
    (tmp_path / "m").write_bytes(raw.replace(entry, changed))
    loaded = onnx.load(tmp_path / "m", load_external_data=False)
    assert loaded.graph.initializer[0].external_data[0].key == "location"
    with pytest.raises(UserError, match="/etc/p"):
        check_graph(tmp_path / "m")


@pytest.mark.parametrize(
    ("domain", "operator"),
    [
        ("com.microsoft", "EPContext"),
        ("ai.onnx.contrib", "AzureTextInvoker"),
        ("evil", "Add"),
        ("com.microsoft.experimental", "Add"),
    ],
)
def test_operators_that_reach_outside(tmp_path: Path, domain: str, operator: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    with pytest.raises(UserError, match=f"operator {domain}:{operator}"):
        check_graph(save(tmp_path / "m", graph([node], [])))


def test_nesting_is_bounded(tmp_path: Path) -> None:
    assert not check_graph(save(tmp_path / "m", in_bodies(TensorProto(), 10)))
    # The message by hand: protobuf itself stops at a hundred levels.
    content = b""
    for _ in range(2000):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # attribute.g, node.attribute, graph.node
            content = tag + _length(len(content)) + content
    (tmp_path / "m").write_bytes(b"\x3a" + _length(len(content)) + content)
    with pytest.raises(UserError, match="nested more than"):
        check_graph(tmp_path / "m")


def test_work_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_graph, "MAX_FIELDS", 1000)
    (tmp_path / "m").write_bytes(b"\x08\x01" * 2000)
    with pytest.raises(UserError, match="more than 1,000 fields"):
        check_graph(tmp_path / "m")


@pytest.mark.parametrize(
    "content", [b"", b"\x3a", b"\x3a\xff", b"\x0b\x0c", b"\x08" + b"\xff" * 20]
)
def test_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(UserError, match="not a graph of a bundle"):
        check_graph(tmp_path / "m")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_change_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever protobuf still reads after a change, the walk reads as well."""
    content = bytearray(in_bodies(external(WEIGHTS), 1).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(content)
    try:
        needs = check_graph(path)
    except UserError:
        return
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(content))
    except Exception:  # noqa: BLE001 (what no runtime can read harms none)
        return
    tensors = [t for t in _tensors(model.graph) if t.data_location == TensorProto.EXTERNAL]
    entries = [e for t in tensors for e in t.external_data if e.key == "location"]
    assert all(entry.value == WEIGHTS for entry in entries)
    assert needs or not entries


def _tensors(found: onnx.GraphProto) -> list[onnx.TensorProto]:
    tensors = list(found.initializer)
    for node in found.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors, *_tensors(attribute.g)]
    return tensors


def _length(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def test_a_hostile_graph_does_not_open_even_with_the_right_digest(tmp_path: Path) -> None:
    toy = make(tmp_path / "toy").path
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(8))
    replace(
        toy, "cpu-fp32/model.onnx", in_initializer(external("../../outside")).SerializeToString()
    )
    with pytest.raises(UserError, match=r"model\.onnx.*outside"):
        Bundle.open(toy)
    replace(toy, "cpu-fp32/model.onnx", plus(1.0).SerializeToString())
    Bundle.open(toy)


def test_weights_that_the_bundle_does_not_list(tmp_path: Path) -> None:
    toy = make(tmp_path / "toy").path
    replace(toy, "README.md", b"# Changed\n")
    (toy / "tokenizer" / "x.onnx").write_bytes(b"")
    replace(toy, "tokenizer/x.onnx", in_initializer(external(WEIGHTS)).SerializeToString())
    with pytest.raises(UserError, match=r"tokenizer/parts\.data, are not in the bundle"):
        Bundle.open(toy)
