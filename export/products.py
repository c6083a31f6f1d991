"""The multiplications by weights in a graph, found and replaced: what all smaller precisions share.

Almost all bytes and almost all work of our graphs are products of activations with constant matrices,
and the token embedding that is looked up. A smaller precision replaces these and nothing else, so
that normalisation, attention, KL, log-probabilities and caches stay in float32 in every variant.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, np.dtype[Any]]

SMALLEST = 4096
"""Elements of the smallest matrix worth replacing; ours are larger, but for biases of all kinds."""


@dataclass(frozen=True)
class Product:
    """y = x @ W (+ bias) for a constant W.

    Attributes:
        x: name of the activations [..., K].
        weight: name of the constant.
        by_output: whether the constant is stored [N, K], a row for each output, or [K, N].
        bias: name of what is added, or "".
        y: name of the result [..., N].
    """

    x: str
    weight: str
    by_output: bool
    bias: str
    y: str


@dataclass(frozen=True)
class Lookup:
    """y = table[ids] for a constant table [V, H]."""

    table: str
    ids: str
    y: str


@dataclass
class Rewriter:
    """Nodes and constants under construction, named after the value that they replace.

    Attributes:
        constants: new initializers by name.
        nodes: new nodes.
        prefix: of the names of values between them.
    """

    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    prefix: str = ""

    def constant(self, name: str, value: Array) -> str:
        """Register a constant; one name always has one value."""
        self.constants.setdefault(name, value)
        return name

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Append a node; returns the name of its output, which is `name` or a new one."""
        from onnx import helper

        output = name or f"{self.prefix}/{operator.lower()}{len(self.nodes)}"
        node = helper.make_node(
            operator, list(inputs), [output], f"{output}:{operator}", **attributes
        )
        self.nodes.append(node)
        return output


def replace_products(
    model: "onnx.ModelProto",
    vocabulary: int,
    product: Callable[[Rewriter, Product, Array], None],
    lookup: Callable[[Rewriter, Lookup, Array], None],
) -> "onnx.ModelProto":
    """A copy of a graph in which products with weights and token look-ups are written anew.

    Args:
        model: a graph with its weights inside; bodies of If and Loop are left as they are.
        vocabulary: V; only tables of V rows are token embeddings, others hold positions.
        product: writes the nodes for one product, given its constant as stored.
        lookup: the same for one look-up.
    """
    import onnx
    from onnx import numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    writer = Rewriter()
    for node, found in _found(graph, stored, vocabulary):
        if found is None:
            nodes.append(node)
            continue
        writer.prefix, writer.nodes = found.y, []
        if isinstance(found, Product):
            product(writer, found, numpy_helper.to_array(stored[found.weight]))
        else:
            lookup(writer, found, numpy_helper.to_array(stored[found.table]))
        nodes += writer.nodes
    made = [numpy_helper.from_array(value, name) for name, value in writer.constants.items()]
    _set_content(graph, nodes, [*graph.initializer, *made])
    return changed


def _found(
    graph: "onnx.GraphProto", stored: dict[str, "onnx.TensorProto"], vocabulary: int
) -> "Iterator[tuple[onnx.NodeProto, Product | Lookup | None]]":
    """Every node in order, with what it is where it multiplies by weights or looks tokens up."""
    from onnx import TensorProto, helper

    flipped: dict[str, str] = {}

    def is_matrix(name: str) -> bool:
        tensor = stored.get(name)
        return (
            tensor is not None
            and tensor.data_type == TensorProto.FLOAT
            and len(tensor.dims) == 2
            and tensor.dims[0] * tensor.dims[1] >= SMALLEST
        )

    for node in graph.node:
        values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found: Product | Lookup | None = None
        if node.op_type == "Transpose" and is_matrix(node.input[0]):
            if list(values.get("perm", (1, 0))) == [1, 0]:
                flipped[node.output[0]] = node.input[0]
        elif node.op_type == "MatMul":
            x, weight = node.input
            if is_matrix(weight):
                found = Product(x, weight, False, "", node.output[0])
            elif weight in flipped:
                found = Product(x, flipped[weight], True, "", node.output[0])
        elif node.op_type == "Gemm" and is_matrix(node.input[1]):
            plain = values.get("alpha", 1.0) == 1.0 and values.get("beta", 1.0) == 1.0
            if plain and not values.get("transA", 0):
                bias = node.input[2] if len(node.input) > 2 else ""
                by_output = bool(values.get("transB", 0))
                found = Product(node.input[0], node.input[1], by_output, bias, node.output[0])
        elif (
            node.op_type == "Gather"
            and values.get("axis", 0) == 0
            and is_matrix(node.input[0])
            and stored[node.input[0]].dims[0] == vocabulary
        ):
            found = Lookup(node.input[0], node.input[1], node.output[0])
        yield node, found


def _set_content(
    graph: "onnx.GraphProto", nodes: "list[onnx.NodeProto]", weights: "list[onnx.TensorProto]"
) -> None:
    """Give a graph its nodes and weights, without those that nothing uses any more."""
    used = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if used.intersection(node.output):
            kept.append(node)
            used |= set(_read_by(node))
    names = {value.name for value in graph.input}
    # A constant that is an input too is an option with a default: it stays.
    tensors = [t for t in weights if t.name in used or t.name in names]
    # Copied first: what is taken out of a message is gone.
    kept_copies = [_copy(node) for node in reversed(kept)]
    tensor_copies = [_copy(tensor) for tensor in tensors]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept_copies)
    graph.initializer.extend(tensor_copies)


def _copy(message: Any) -> Any:  # noqa: ANN401 (any protobuf message)
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _read_by(node: "onnx.NodeProto") -> Iterator[str]:
    """Every name a node reads, in the bodies of If and Loop too."""
    yield from node.input
    for attribute in node.attribute:
        for body in [attribute.g, *attribute.graphs]:
            for inner in body.node:
                yield from _read_by(inner)
            yield from (value.name for value in body.output)
