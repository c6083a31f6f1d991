"""The names and weights of a model that is put together: each name once, each weight once."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass
class Whole:
    """What all scopes of a model share.

    Attributes:
        opset: version of ONNX's own operators.
        domains: versions of all others.
        weights: by name.
        by_content: their names by digest.
        names: all that are taken.
        count: makes new ones.
    """

    opset: int
    domains: dict[str, int] = field(default_factory=dict)
    weights: "dict[str, onnx.TensorProto]" = field(default_factory=dict)
    by_content: dict[bytes, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    count: "itertools.count[int]" = field(default_factory=itertools.count)

    def unused(self, wish: str) -> str:
        """`wish`, or that with a number."""
        name = wish
        while name in self.names:
            name = f"{wish}_{next(self.count)}"
        self.names.add(name)
        return name

    def need(self, domain: str, version: int) -> None:
        """Import a domain of operators, at least at this version."""
        self.domains[domain] = max(version, self.domains.get(domain, 0))

    def store(self, tensor: "onnx.TensorProto") -> str:
        """Name of a weight of this content in the outermost graph."""
        import onnx

        kept = onnx.TensorProto()
        kept.CopyFrom(tensor)
        kept.name = kept.doc_string = ""
        content = hashlib.sha256(kept.SerializeToString(deterministic=True)).digest()
        if content not in self.by_content:
            kept.name = self.unused(tensor.name)
            self.weights[kept.name] = kept
            self.by_content[content] = kept.name
        return self.by_content[content]

    def renamed(
        self, nodes: "Iterable[onnx.NodeProto]", names: dict[str, str], tag: str
    ) -> "list[onnx.NodeProto]":
        """Copies of nodes under names of this model; `names` learns those of their outputs."""
        import onnx

        made = []
        for node in nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                names[node.output[0]] = self.store(_named(node.attribute[0].t, node.output[0]))
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.doc_string = ""
            del copy.metadata_props[:]
            copy.name = self.unused(f"{tag}/{node.name or node.op_type}")
            copy.input[:] = [names[name] if name else "" for name in node.input]
            for name in node.output:
                if name:
                    names[name] = self.unused(f"{tag}/{name}")
            copy.output[:] = [names[name] if name else "" for name in node.output]
            for attribute in copy.attribute:
                for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    self._rename_body(graph, dict(names), tag)
            made.append(copy)
        return made

    def _rename_body(self, graph: "onnx.GraphProto", names: dict[str, str], tag: str) -> None:
        for tensor in graph.initializer:
            names[tensor.name] = self.store(tensor)
        for value in graph.input:
            names[value.name] = self.unused(f"{tag}/{value.name}")
            value.name = names[value.name]
        nodes = self.renamed(graph.node, names, tag)
        inside = {name for node in nodes for name in node.output}
        for value in graph.output:
            name = names[value.name]
            if name not in inside:  # a constant, which now lies outside
                kept = self.unused(f"{tag}/{value.name}")
                nodes.append(_identity(name, kept))
                name = kept
            value.name = name
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)


def _identity(value: str, name: str) -> "onnx.NodeProto":
    from onnx import helper

    node: onnx.NodeProto = helper.make_node("Identity", [value], [name], name)
    return node


def _named(tensor: "onnx.TensorProto", name: str) -> "onnx.TensorProto":
    import onnx

    named = onnx.TensorProto()
    named.CopyFrom(tensor)
    named.name = name
    return named


def without_functions(part: "onnx.ModelProto") -> "onnx.ModelProto":
    """The part with its functions put in where they are called."""
    if not part.functions:
        return part
    import onnx.inliner

    inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(part)
    return inlined


def only(
    part: "onnx.ModelProto", outputs: Sequence[str], given: Sequence[str] = ()
) -> "onnx.ModelProto":
    """A copy that computes these outputs alone, and asks for no input that they do not need.

    Args:
        part: any graph.
        outputs: names of those that are wanted.
        given: names of outputs that the copy is given, instead of computing them too.
    """
    import onnx

    part = without_functions(part)
    stored = {tensor.name: tensor for tensor in part.graph.initializer}
    makers = [node for node in part.graph.node if not set(given) & set(node.output)]
    nodes, weights = used(makers, stored, outputs)
    read = {name for node in nodes for name in _read_by(node)} | set(outputs)
    chosen = {value.name: value for value in part.graph.output}
    inputs = [*part.graph.input, *(chosen[name] for name in given)]
    made = onnx.helper.make_graph(
        nodes,
        part.graph.name,
        [value for value in inputs if value.name in read],
        [chosen[name] for name in outputs],
        initializer=weights,
        value_info=part.graph.value_info,
    )
    found = onnx.ModelProto()
    found.CopyFrom(part)
    found.graph.CopyFrom(made)
    return found


def used(
    nodes: "Sequence[onnx.NodeProto]",
    weights: "Mapping[str, onnx.TensorProto]",
    outputs: Iterable[str],
) -> "tuple[list[onnx.NodeProto], list[onnx.TensorProto]]":
    """The nodes and weights that the outputs need."""
    wanted = set(outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(_read_by(node))
    return kept[::-1], [tensor for name, tensor in weights.items() if name in wanted]


def _read_by(node: "onnx.NodeProto") -> Iterable[str]:
    """Every name that a node reads, in the bodies of If and Loop too."""
    yield from node.input
    for attribute in node.attribute:
        for body in [attribute.g, *attribute.graphs]:
            for inner in body.node:
                yield from _read_by(inner)
            yield from (value.name for value in body.output)
