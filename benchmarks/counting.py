"""Bytes and launches of a computation, counted without a GPU and without a clock.

Eager: every aten operator that is no view is a kernel; it reads its tensors and writes its results. An operator of ours is
one too, as it appears to torch; how many kernels it starts is counted by `launches`. Compiled: what the graphs of AOTAutograd
read and write, which is the least that any code generator must move, and the groups that Inductor's scheduler leaves.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.contender import Contender

# They allocate or rename, and start nothing.
NOTHING = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
# They touch as many elements of their first tensor as the last one has.
SPARSE_WRITES = {"index_copy_", "index_put_", "scatter_"}
SPARSE_READS = {"index_select", "gather", "embedding"}


def tensor_bytes(value: object) -> int:
    """Bytes that a kernel moves for a tensor: of an expanded one, those that exist."""
    if not isinstance(value, Tensor):
        return 0
    return min(value.numel() * value.element_size(), value.untyped_storage().nbytes())


@dataclass
class Count:
    """Of one pass.

    Attributes:
        launches: kernels.
        nbytes: read and written.
        names: of the operators, in order; those of torch without a namespace.
    """

    launches: int = 0
    nbytes: int = 0
    names: list[str] = field(default_factory=list)


class Counter(TorchDispatchMode):
    """Counts what runs inside its context."""

    def __init__(self) -> None:
        super().__init__()
        self.count = Count()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if func.is_view or name in NOTHING:
            return out
        # A tensor that is handed over twice is read once.
        read = {id(one): tensor_bytes(one) for one in tree_leaves((args, kwargs))}
        written = sum(tensor_bytes(one) for one in tree_leaves(out))
        if name in SPARSE_WRITES:
            moved = 2 * tensor_bytes([x for x in tree_leaves(args) if isinstance(x, Tensor)][-1])
        elif name in SPARSE_READS:
            moved = 2 * written
        else:
            # What is changed in place is an argument, not a result, of our operators.
            moved = sum(read.values()) + written
        if not moved:
            # torch starts no kernel for tensors without elements.
            return out
        self.count.launches += 1
        self.count.nbytes += moved
        self.count.names.append(name if func.namespace == "aten" else f"{func.namespace}.{name}")
        return out


@dataclass(frozen=True)
class Pair:
    """Forward and backward of one provider, and what it keeps in between beyond inputs and outputs."""

    forward: Count
    backward: Count
    saved_tensors: int
    saved_bytes: int


def eager(
    contender: Contender, done: Callable[[Literal["forward", "backward"]], None] | None = None
) -> Pair:
    """Count a provider that is not compiled.

    Args:
        contender: of it.
        done: called when a pass has ended.
    """
    done = done or (lambda mode: None)
    with contender.active():
        inputs = contender.inputs(0)
        with Counter() as forward:
            outputs = contender.run(inputs)
        done("forward")
        backward = Counter()
        if contender.differentiable:
            upstream = contender.gradients(outputs, 0)
            with backward:
                torch.autograd.grad(outputs, contender.leaves(inputs), upstream)
        done("backward")
        del outputs
    saved = contender.saved() or (0, 0)
    return Pair(forward.count, backward.count, *saved)


def compiled(contender: Contender, *, schedule: bool) -> Pair:
    """Count what torch.compile makes of a provider.

    Args:
        contender: of a provider that is not compiled.
        schedule: whether to count kernels, for which Inductor must generate C++: seconds. Without, launches are 0.
    """
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import min_cut_rematerialization_partition
    from torch._inductor.decomposition import select_decomp_table

    graphs: list[Any] = []

    def keep(graph: Any, example: object) -> Callable[..., Any]:  # noqa: ANN401
        graphs.append(graph)

        def run(arguments: list[Any]) -> Any:  # noqa: ANN401
            return graph.forward(*arguments)

        run._boxed_call = True  # type: ignore[attr-defined]
        return run

    backend = aot_autograd(  # type: ignore[no-untyped-call]
        fw_compiler=keep,
        bw_compiler=keep,
        inference_compiler=keep,
        decompositions=select_decomp_table,
        partition_fn=min_cut_rematerialization_partition,
        keep_inference_input_mutations=True,
    )
    outputs = _called(contender, backend)
    counts = [Count(nbytes=_graph_bytes(graph)) for graph in graphs]
    counts += [Count()] * (2 - len(counts))
    kept = _graph_outputs(graphs[0])[outputs:] if contender.differentiable else []
    kept = [node for node in kept if node.op != "placeholder"]
    if schedule:
        for count, launches in zip(counts, _scheduled(contender), strict=False):
            count.launches = launches
    return Pair(*counts, len(kept), sum(_node_bytes(node) for node in kept))


def _called(contender: Contender, backend: Any) -> int:  # noqa: ANN401
    """Run forward and backward through a compiler; how many outputs there are."""
    torch._dynamo.reset()
    with contender.active(), warnings.catch_warnings():
        # Of torch's own making: it says when its caches are off.
        warnings.simplefilter("ignore")
        run = torch.compile(contender.run, backend=backend, fullgraph=True, dynamic=False)
        inputs = contender.inputs(0)
        outputs = run(inputs)
        if contender.differentiable:
            upstream = contender.gradients(outputs, 0)
            torch.autograd.grad(outputs, contender.leaves(inputs), upstream)
    return len(outputs)


def _node_bytes(node: Any) -> int:  # noqa: ANN401
    value = node.meta.get("val")
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0


def _graph_outputs(graph: Any) -> list[Any]:  # noqa: ANN401
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    return [node for node in output.args[0] if isinstance(node, torch.fx.Node)]


def _graph_bytes(graph: Any) -> int:  # noqa: ANN401
    """Inputs that are used, and outputs that are not inputs."""
    read = [node for node in graph.graph.nodes if node.op == "placeholder" and node.users]
    # A forward graph hands inputs on to the backward one; nobody reads or writes them for that.
    read = [node for node in read if any(user.op != "output" for user in node.users)]
    written = [node for node in _graph_outputs(graph) if node.op != "placeholder"]
    return sum(_node_bytes(node) for node in [*read, *dict.fromkeys(written)])


def _scheduled(contender: Contender) -> list[int]:
    """Kernels of each graph after Inductor's fusion, the draw of a seed included."""
    from torch._inductor import config
    from torch._inductor.scheduler import NopKernelSchedulerNode

    found: list[int] = []

    def note(nodes: list[Any]) -> list[Any]:
        found.append(sum(not isinstance(node, NopKernelSchedulerNode) for node in nodes))
        return nodes

    with config.patch(force_disable_caches=True, _post_fusion_custom_pass=note):
        _called(contender, "inductor")
    return found


@contextmanager
def launches() -> Iterator[list[str]]:
    """Names of the kernels that our operators start inside the context, on whatever path.

    Kernels must not have been imported before: they take `start` by name.
    """
    from seqvae.kernels import start as module

    plain = module.start
    started: list[str] = []

    def start(path: Any, variant: str, *rest: Any) -> None:  # noqa: ANN401
        started.append(variant)
        plain(path, variant, *rest)

    module.start = start
    try:
        yield started
    finally:
        module.start = plain
