"""The Gaussian latent's operators under torch's transformations: compile, export, autocast, vmap, DDP; and the dispatch."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import grad, vmap

from seqvae.errors import UserError
from seqvae.kernels import native
from seqvae.ops import FreeBits, explain, gaussian_latent, gaussian_operators, use
from seqvae.ops import gaussian_reference as reference
from seqvae.ops.gaussian_reference import Settings

SEED = torch.tensor([5])
OPCHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")  # fmt: skip
Loss = Callable[..., Tensor]
# Dynamo makes an object of the class itself (torch 2.13).
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield


def everything(statistics: Tensor, seed: Tensor, offset: Tensor | int = 0) -> Tensor:
    """A loss through every option."""
    z, (rows, groups) = gaussian_latent(
        statistics,
        None,
        seed,
        offset=offset,
        samples=2,
        reduce="both",
        free_bits=FreeBits(1.0, "group", groups=2),
        clamp=(-1.0, 1.0),
        mask=statistics[..., 0] > -1,
    )
    return 1.7 * z.sum() + rows.square().sum() + (3 * groups).sum()


def rows(statistics: Tensor, seed: Tensor) -> Tensor:
    z, kl = gaussian_latent(statistics, None, seed, reduce="rows", free_bits=FreeBits(2.0))
    return z.square().sum() + kl.square().sum()


def gradient(loss: Loss, statistics: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
    leaf = statistics.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf, *rest), leaf)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [True, False])
def test_operators_keep_their_promises(packed: bool, dtype: torch.dtype) -> None:
    packed_or_split = torch.randn(3, 4, 16 if packed else 8, dtype=dtype)
    other = None if packed else torch.randn(3, 4, 8, dtype=dtype).transpose(0, 1).contiguous().transpose(0, 1)  # fmt: skip
    mask = torch.tensor([[True, False, True, True]] * 3)
    how = Settings(samples=2, reduce="both", low=-1.0, nats=1.0, width=2, row_nats=2.0)
    first = (packed_or_split, other, SEED, SEED, mask)
    check = torch.library.opcheck
    check(gaussian_operators.gaussian_latent_forward, (*first, *how), test_utils=OPCHECKS)
    upstream = (torch.ones(8), torch.randn(2, 3, 4, 8, dtype=dtype), torch.randn(3, 4), torch.randn(4))  # fmt: skip
    check(
        gaussian_operators.gaussian_latent_backward, (*first, *upstream, *how), test_utils=OPCHECKS
    )
    sampled = (packed_or_split, other, SEED, None, 3, 0, 0.5)
    check(gaussian_operators.sample_latent, sampled, test_utils=OPCHECKS)
    check(gaussian_operators.kl_rows, (packed_or_split, other, 0.1), test_utils=OPCHECKS)


@pytest.mark.parametrize("loss", [everything, rows])
def test_compiled_programs_compute_the_same(loss: Loss) -> None:
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend="aot_eager")
    for count in (3, 5, 9):
        statistics = torch.randn(count, 16)
        torch.testing.assert_close(
            gradient(compiled, statistics, SEED), gradient(loss, statistics, SEED)
        )


def test_a_compiled_program_takes_any_seed_and_offset() -> None:
    compiled = torch.compile(everything, fullgraph=True, dynamic=True, backend="aot_eager")
    statistics = torch.randn(4, 16)
    for step in (0, 1, 7, 1 << 40):
        for given in (step, torch.tensor([step])):
            seed = torch.tensor([step + 100])
            torch.testing.assert_close(
                gradient(compiled, statistics, seed, given),
                gradient(everything, statistics, seed, given),
            )


def test_a_compiled_program_without_gradients() -> None:
    def call(statistics: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        return gaussian_latent(statistics, None, seed, reduce="rows")

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    statistics = torch.randn(4, 16)
    expected = call(statistics, SEED)
    with torch.no_grad():
        torch.testing.assert_close(compiled(statistics, SEED), expected)
    torch.testing.assert_close(compiled(statistics, SEED), expected)


class Network(nn.Module):
    """A posterior network and its latent."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics = nn.Linear(4, 32)

    def forward(self, x: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        return gaussian_latent(
            self.statistics(x), None, seed, reduce="rows", free_bits=FreeBits(1.0)
        )


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_holds_one_operator(strict: bool) -> None:
    network = Network()
    shapes = ({0: torch.export.Dim("batch")}, None)
    program = torch.export.export(
        network, (torch.randn(4, 4), SEED), dynamic_shapes=shapes, strict=strict
    )
    calls = [
        str(node.target)
        for module in program.graph_module.modules()
        if isinstance(module, torch.fx.GraphModule)
        for node in module.graph.nodes
    ]
    assert calls.count("seqvae.gaussian_latent_forward.default") == 1
    x = torch.randn(7, 4)
    torch.testing.assert_close(program.module()(x, SEED), network(x, SEED))


def test_autocast_leaves_the_kl_in_float32() -> None:
    network = Network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, kl = network(torch.randn(4, 4), SEED)
    assert (z.dtype, kl.dtype) == (torch.bfloat16, torch.float32)
    (z.float().sum() + kl.sum()).backward()
    assert network.statistics.weight.grad is not None
    assert network.statistics.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("reduce", ["none", "rows", "both"])
def test_vmap_is_one_call_a_slice(reduce: Any) -> None:  # noqa: ANN401
    statistics, keys = torch.randn(3, 5, 8), torch.arange(3)[:, None]

    def call(x: Tensor, seed: Tensor) -> list[Tensor]:
        z, kl = gaussian_latent(x, None, seed, reduce=reduce, samples=2)
        return [z, *kl] if isinstance(kl, tuple) else [z, kl]

    for seeds, axis in ((SEED, None), (keys, 0)):
        batched = vmap(call, in_dims=(0, axis))(statistics, seeds)
        for i in range(3):
            alone = call(statistics[i], seeds if axis is None else seeds[i])
            assert all(torch.equal(x[i], y) for x, y in zip(batched, alone, strict=True))


def test_gradients_and_vmap_nest_both_ways() -> None:
    statistics = torch.randn(3, 5, 8)
    expected = torch.stack([gradient(rows, x, SEED) for x in statistics])
    inside = vmap(grad(rows), in_dims=(0, None))(statistics, SEED)
    torch.testing.assert_close(inside, expected)
    outside = gradient(lambda x: vmap(rows, in_dims=(0, None))(x, SEED).sum(), statistics)
    torch.testing.assert_close(outside, expected)


def test_the_gradient_has_a_gradient() -> None:
    statistics = torch.randn(4, 8, requires_grad=True)

    def penalty(statistics: Tensor, loss: Loss) -> Tensor:
        (first,) = torch.autograd.grad(loss(statistics), statistics, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), statistics)
        return second

    def defined(statistics: Tensor) -> Tensor:
        how = Settings(reduce="rows", row_nats=2.0)
        z, kl, _, _ = reference.forward(statistics, None, SEED, None, None, how)
        assert kl is not None
        return z.square().sum() + kl.square().sum()

    got = penalty(statistics, lambda x: rows(x, SEED))
    torch.testing.assert_close(got, penalty(statistics, defined))


@pytest.mark.parametrize("reduce", ["none", "rows", "dimensions", "both"])
def test_nothing_is_kept_but_the_arguments(reduce: Any) -> None:  # noqa: ANN401
    mean, log_variance = (torch.randn(6, 8).requires_grad_() for _ in range(2))
    mask = torch.ones(6, dtype=torch.bool)
    kept: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x)
        return x

    with saved_tensors_hooks(keep, lambda x: x):
        gaussian_latent(mean, log_variance, SEED, reduce=reduce, mask=mask)
    arguments = {x.data_ptr() for x in (mean, log_variance, SEED, mask)}
    more = [x for x in kept if x.data_ptr() not in arguments]
    # Of means over rows: what a dimension's gradient is multiplied with.
    assert [x.shape for x in more] == ([(8,)] if reduce in ("dimensions", "both") else [])


def test_data_parallel_training() -> None:
    """DDP over gloo in a process of its own: torch cannot start a process group twice."""
    code = (
        "import torch, torch.distributed as dist, tempfile, os\n"
        "from tests.ops.test_gaussian_operators import Network, SEED\n"
        "path = os.path.join(tempfile.mkdtemp(), 'store')\n"
        "dist.init_process_group('gloo', store=dist.FileStore(path, 1), rank=0, world_size=1)\n"
        "network = Network()\n"
        "alone, parallel = Network(), torch.nn.parallel.DistributedDataParallel(network)\n"
        "alone.load_state_dict(network.state_dict())\n"
        "x = torch.randn(4, 4)\n"
        "for model in (alone, parallel):\n"
        "    z, kl = model(x, SEED)\n"
        "    (z.square().sum() + kl.sum()).backward()\n"
        "torch.testing.assert_close(network.statistics.weight.grad, alone.statistics.weight.grad)\n"
        "dist.destroy_process_group()\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def paths(*asked: Any, dtype: torch.dtype = torch.float32) -> tuple[str, str, str]:  # noqa: ANN401
    """What a call ran forward and backward, and why."""
    statistics = torch.randn(3, 8, dtype=dtype, requires_grad=True)
    with ExitStack() as stack:
        for path in asked:
            stack.enter_context(use(path))
        z, kl = gaussian_latent(statistics, None, SEED)
        (z.sum() + kl.sum()).backward()  # type: ignore[no-untyped-call]
    found = {choice.op: choice for choice in explain()}
    forward = found["gaussian_latent"]
    if forward.reason in ("float64", "asked for"):
        return forward.path, forward.path, forward.reason  # autograd of the reference itself
    return forward.path, found["gaussian_latent_backward"].path, forward.reason


def test_every_choice_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if native.available():
        assert paths() == ("native", "native", "CPU, float32")
        assert paths("native")[:2] == ("native", "native")
    assert paths("reference") == ("reference", "reference", "asked for")
    assert paths("triton") == ("reference", "reference", "there is no triton for the CPU")
    assert paths(dtype=torch.bfloat16)[:2] == ("reference", "reference")
    assert paths(dtype=torch.float64) == ("reference", "reference", "float64")
    monkeypatch.setenv("SEQVAE_KERNELS", "reference")
    assert paths()[2] == "asked for"
    monkeypatch.setenv("SEQVAE_KERNELS", "fast")
    with pytest.raises(UserError, match="SEQVAE_KERNELS"):
        paths()


def test_a_library_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqvae.ops import gaussian_native

    monkeypatch.setattr(native, "available", lambda: False)
    gaussian_native.refusal.cache_clear()
    assert paths() == ("reference", "reference", "the native library was not built")
    monkeypatch.undo()
    gaussian_native.refusal.cache_clear()
