"""Put exported graphs together into one, with control flow: If and Loop written as Python functions.

    scope = Scope(opset=20)
    made = scope.inline(start, {"z": "z"}, "start")

    def body(inner, step, state):
        found = inner.inline(part, {"position": step, **made, **state}, "step")
        return going, following(found), [token]

    state, (tokens,) = scope.loop(limit, scope.constant(True), first, body)

Weights lie in the outermost graph, each once however often its graph is put in; bodies refer to them,
and to all else outside them, by name. A name is used once in the whole model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqvae.export.stitch_names import Whole, used, without_functions

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, np.dtype[Any]]
State = dict[str, str]
"""What goes round a loop: names of values, by what they are called in the body."""
NEXT = "n_"
"""What a part calls the state after it: `n_x` for its input `x`."""
IR_VERSION = 10

Branch = Callable[["Scope"], Sequence[str]]
Body = Callable[["Scope", str, State], tuple[str, State, Sequence[str]]]


class Scope:
    """Nodes under construction: those of a graph, of a branch, or of the body of a loop.

    Args:
        opset: version of ONNX's own operators.
        whole: shared with the enclosing scope; the outermost has none.
    """

    def __init__(self, opset: int, whole: Whole | None = None) -> None:
        self._whole = whole or Whole(opset)
        self._nodes: list[onnx.NodeProto] = []
        self._known: list[onnx.ValueInfoProto] = []
        self._made: set[str] = set()

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names, those of inputs and outputs, from being given to anything else."""
        self._whole.names.update(names)

    def add(
        self,
        operator: str,
        *inputs: str,
        domain: str = "",
        version: int = 1,
        name: str = "",
        **attributes: Any,  # noqa: ANN401
    ) -> str:
        """Append a node with one output.

        Args:
            operator: its type.
            inputs: names of values; "" for one that is left out.
            domain: of the operator.
            version: of that domain's operators.
            name: of the node, shown in errors of runtimes.
            attributes: of the node.

        Returns:
            Name of its output.
        """
        return self.add_many(
            operator, *inputs, outputs=1, domain=domain, version=version, name=name, **attributes
        )[0]

    def add_many(
        self,
        operator: str,
        *inputs: str,
        outputs: int,
        domain: str = "",
        version: int = 1,
        name: str = "",
        **attributes: Any,  # noqa: ANN401
    ) -> list[str]:
        """`add` for a node with several outputs."""
        from onnx import helper

        if domain:
            self._whole.need(domain, version)
        made = [
            self._whole.unused(f"{operator.lower()}_{next(self._whole.count)}")
            for _ in range(outputs)
        ]
        self._append(
            helper.make_node(
                operator, list(inputs), made, name or made[0], domain=domain, **attributes
            )
        )
        return made

    def declare(self, value: str, element: int, rank: int) -> str:
        """Say what a value is where onnx cannot know it: its checker crashes on what follows from that.

        Args:
            value: its name.
            element: ONNX's number of its element type.
            rank: number of its axes.

        Returns:
            `value`.
        """
        from onnx import helper

        self._known.append(helper.make_tensor_value_info(value, element, [None] * rank))
        return value

    def rename(self, value: str, name: str) -> str:
        """Give a value the name of an output of the model; `name` must be reserved."""
        from onnx import helper

        self._append(helper.make_node("Identity", [value], [name], f"{name}:output"))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:  # noqa: ANN401 (anything that numpy takes)
        """Name of a constant; equal ones are one."""
        from onnx import numpy_helper

        return self._whole.store(numpy_helper.from_array(np.asarray(value, dtype), "constant"))

    def inline(self, part: "onnx.ModelProto", inputs: Mapping[str, str], tag: str) -> State:
        """Put in all nodes of a graph.

        Args:
            part: its weights inside.
            inputs: name of a value for each of its inputs; superfluous ones are ignored, inputs
                with a default may be left out.
            tag: begins the names of its values.

        Returns:
            Names of its outputs, by what the part calls them.

        Raises:
            ValueError: an input is missing, or the part has another opset.
        """
        part = without_functions(part)
        for entry in part.opset_import:
            if entry.domain in ("", "ai.onnx") and entry.version != self._whole.opset:
                raise ValueError(
                    f"{tag} has opset {entry.version}, the graph around it {self._whole.opset}"
                )
            if entry.domain not in ("", "ai.onnx"):
                self._whole.need(entry.domain, entry.version)
        graph = part.graph
        names = {tensor.name: self._whole.store(tensor) for tensor in graph.initializer}
        for value in graph.input:
            if value.name in inputs:
                names[value.name] = inputs[value.name]
            elif value.name not in names:
                raise ValueError(f"{tag}: no value is given for the input {value.name}")
        for node in self._whole.renamed(graph.node, names, tag):
            self._append(node)
        for value in graph.value_info:
            self._known.append(type(value)(name=names[value.name], type=value.type))
        return {value.name: names[value.name] for value in graph.output}

    def when(self, condition: str, then: Branch, otherwise: Branch) -> list[str]:
        """An If: only one of the branches is computed.

        Args:
            condition: bool, one element.
            then: adds the nodes of a branch to a scope and returns names of its results.
            otherwise: the same; as many results of the same types.

        Returns:
            Names of the results.
        """
        branches = [self._body("branch", branch) for branch in (then, otherwise)]
        count = {len(branch.output) for branch in branches}
        if len(count) > 1:
            raise ValueError("the branches of an If have different numbers of results")
        return self.add_many(
            "If",
            condition,
            outputs=count.pop(),
            then_branch=branches[0],
            else_branch=branches[1],
        )

    def loop(self, trips: str, condition: str, state: State, body: Body) -> tuple[State, list[str]]:
        """A Loop, which ends after `trips` rounds, or as soon as the body says so.

        Args:
            trips: most rounds, int64, one element.
            condition: whether to begin at all, bool, one element.
            state: first values, by what the body calls them.
            body: is given a scope, the number of the round (int64 []) and the state; returns
                whether to go on (bool []), the next state, and values to be collected.

        Returns:
            The last state, and each collected value with an axis of rounds in front.
        """
        from onnx import TensorProto, ValueInfoProto, helper

        order = list(state)
        unused, taken = self._whole.unused, next(self._whole.count)
        step, entered = unused(f"round_{taken}"), unused(f"entered_{taken}")
        inside = {name: unused(f"{name}_{taken}") for name in order}

        def build(scope: Scope) -> list[str]:
            going, following, collected = body(scope, step, dict(inside))
            return [going, *(following[name] for name in order), *collected]

        # ONNX Runtime wants the shapes of these two; all else is as what flows in.
        inputs = [
            helper.make_tensor_value_info(step, TensorProto.INT64, []),
            helper.make_tensor_value_info(entered, TensorProto.BOOL, []),
            *(ValueInfoProto(name=name) for name in inside.values()),
        ]
        graph = self._body("body", build, inputs)
        results = self.add_many(
            "Loop",
            trips,
            condition,
            *(state[name] for name in order),
            outputs=len(graph.output) - 1,
            body=graph,
        )
        return dict(zip(order, results, strict=False)), results[len(order) :]

    def model(
        self,
        inputs: "Sequence[onnx.ValueInfoProto]",
        outputs: "Sequence[onnx.ValueInfoProto]",
        *,
        defaults: "Sequence[onnx.TensorProto]" = (),
        metadata: Mapping[str, str] | None = None,
    ) -> "onnx.ModelProto":
        """The finished model.

        Args:
            inputs: of the graph.
            outputs: of the graph; their values must have been made under these names.
            defaults: values of inputs that need not be given.
            metadata: kept in the file.
        """
        import onnx
        from onnx import helper

        nodes, weights = used(self._nodes, self._whole.weights, [v.name for v in outputs])
        graph = helper.make_graph(
            nodes,
            "seqvae",
            list(inputs),
            list(outputs),
            initializer=[*defaults, *weights],
            value_info=[v for v in self._known if any(v.name in n.output for n in nodes)],
        )
        opsets = [helper.make_opsetid("", self._whole.opset)]
        opsets += [helper.make_opsetid(*entry) for entry in sorted(self._whole.domains.items())]
        model: onnx.ModelProto = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="seqvae"
        )
        helper.set_model_props(model, dict(metadata or {}))
        return model

    def _body(
        self, kind: str, build: Branch, inputs: "Sequence[onnx.ValueInfoProto]" = ()
    ) -> "onnx.GraphProto":
        from onnx import ValueInfoProto, helper

        scope = Scope(self._whole.opset, self._whole)
        results: list[str] = []
        for name in build(scope):
            # What a body returns, it must have made itself, once for each result.
            own = name in scope._made and name not in results
            results.append(name if own else scope.add("Identity", name))
        # Runtimes infer types and shapes of results.
        return helper.make_graph(
            scope._nodes,
            self._whole.unused(f"{kind}_{next(self._whole.count)}"),
            list(inputs),
            [ValueInfoProto(name=name) for name in results],
            value_info=scope._known,
        )

    def _append(self, node: "onnx.NodeProto") -> None:
        self._nodes.append(node)
        self._made.update(node.output)


def following(outputs: State) -> State:
    """The next state: outputs `n_x` by the names `x`."""
    return {name[len(NEXT) :]: value for name, value in outputs.items() if name.startswith(NEXT)}
