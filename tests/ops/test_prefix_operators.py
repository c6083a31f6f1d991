"""Prefix attention as operators: what torch's compilers, transforms and wrappers ask of them, on a CPU."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from seqvae.ops import prefix_attention as module
from seqvae.ops.attention_reference import attention_reference, weights_reference
from seqvae.ops.prefix_attention import prefix_attention
from seqvae.ops.prefix_operators import (
    Tensors,
    backward_operator,
    forward_operator,
    fused_attention,
)

# Tensors that have gradients.
LEAVES: Final = 5
# torch.compile itself does so for the context of any autograd.Function.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Tests share functions, and the compiler gives up on a function it compiled eight times."""
    torch.compiler.reset()


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(steps: int, full: bool, batch: int = 2) -> Any:  # noqa: ANN401
    query, key, value = drawn(0, batch, steps, 3, 2, 32).permute(2, 0, 3, 1, 4)
    if not full:
        return query, key, value, None, None, None, None, None
    prefix = drawn(1, 2, batch, 2, 3, 32).unbind()
    tables = drawn(2, 2, steps, 16).unbind()
    return query, key, value, *prefix, torch.arange(1, batch + 1), *tables


def differentiable(tensors: Tensors) -> Any:  # noqa: ANN401
    leaves = (None if x is None else x.detach().requires_grad_() for x in tensors[:LEAVES])
    return *leaves, *tensors[LEAVES:]


def reference(tensors: Tensors, causal: bool) -> Tensor:
    *_, lengths, cosine, sine = tensors
    rotary = None if cosine is None or sine is None else (cosine, sine)
    return attention_reference(*tensors[:LEAVES], causal=causal, lengths=lengths, rotary=rotary)


def gradients(output: Tensor, tensors: Tensors) -> list[Tensor]:
    present = [x for x in tensors[:LEAVES] if x is not None]
    weight = drawn(7, *output.shape)
    return list(torch.autograd.grad((output * weight).sum(), present))


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_opcheck(full: bool, tiled: bool) -> None:
    tensors = made(5, full)
    torch.library.opcheck(forward_operator, (*tensors, True, tiled))
    output, logsumexp = forward_operator(*tensors, True, tiled)
    assert output.transpose(1, 2).is_contiguous()
    saved = (output, logsumexp) if tiled else (None, None)
    torch.library.opcheck(backward_operator, (output, *saved, *tensors, True))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_without_a_kernel_they_are_the_reference(full: bool, tiled: bool, causal: bool) -> None:
    tensors = differentiable(made(5, full))
    found, right = fused_attention(tensors, causal, tiled), reference(tensors, causal)
    torch.testing.assert_close(found, right)
    for one, other in zip(gradients(found, tensors), gradients(right, tensors), strict=True):
        torch.testing.assert_close(one, other)


def test_saves_the_inputs_alone() -> None:
    tensors = differentiable(made(5, True))
    kept: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        fused_attention(tensors, True, False)
        own = {x.data_ptr() for x in tensors}
        assert {x.data_ptr() for x in kept} == own
        kept.clear()
        fused_attention(tensors, True, True)
    assert sorted(x.shape for x in kept if x.data_ptr() not in own) == [(2, 2, 5), (2, 2, 5, 32)]


def test_weights() -> None:
    query, key, *_ = made(5, True)
    weights, logsumexp = weights_reference(query, key, 0, False, torch.tensor([0, 2]))
    assert not weights[0].any()
    assert bool(torch.isneginf(logsumexp[0]).all())
    seen = query[1] @ key[1, :, :2].transpose(1, 2) / 32**0.5
    torch.testing.assert_close(logsumexp[1], seen.logsumexp(-1))
    torch.testing.assert_close(weights[1, :, :, :2], seen.softmax(-1))


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_compiles_whole_for_any_size(full: bool, tiled: bool) -> None:
    def attend(*tensors: Any) -> Tensor:  # noqa: ANN401
        return fused_attention(tensors, True, tiled).square()

    compiled = torch.compile(attend, fullgraph=True, dynamic=True, backend="aot_eager")
    for steps, batch in ((5, 2), (7, 3)):
        tensors = differentiable(made(steps, full, batch))
        found, right = compiled(*tensors), attend(*tensors)
        torch.testing.assert_close(found, right)
        for one, other in zip(gradients(found, tensors), gradients(right, tensors), strict=True):
            torch.testing.assert_close(one, other)
        with torch.no_grad():
            torch.testing.assert_close(compiled(*tensors), right)


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_public_function_compiles_whole(dynamic: bool) -> None:
    compiled = torch.compile(prefix_attention, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for steps in (5, 7):
        *parts, lengths, cosine, sine = differentiable(made(steps, True))
        found = compiled(*parts, lengths=lengths, rotary=(cosine, sine))
        right = prefix_attention(*parts, lengths=lengths, rotary=(cosine, sine))
        torch.testing.assert_close(found, right)


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_choice_of_a_gpu_compiles_whole(dynamic: bool) -> None:
    """The path of CUDA tensors, walked by CPU tensors."""

    def attend(*tensors: Any) -> Tensor:  # noqa: ANN401
        to, _ = module.route(tensors)
        if to == "sdpa":
            return module._sdpa(tensors, True)
        return fused_attention(tensors, True, to == "tiles")

    compiled = torch.compile(attend, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for steps in (5, 70):
        tensors = differentiable(made(steps, True))
        torch.testing.assert_close(compiled(*tensors), attend(*tensors))


class Attend(nn.Module):
    def forward(self, *tensors: Any) -> Tensor:  # noqa: ANN401
        return fused_attention(tensors, True, False)


@pytest.mark.parametrize("strict", [False, True])
def test_exports(strict: bool) -> None:
    tensors = made(5, True)
    steps = torch.export.Dim("steps", max=128)
    shapes = (*({2: steps},) * 3, None, None, None, {0: steps}, {0: steps})
    program = torch.export.export(Attend(), tensors, dynamic_shapes=(shapes,), strict=strict)
    names = [str(node.target) for node in program.graph.nodes]
    assert "seqvae.prefix_attention_forward.default" in names
    other = made(9, True)
    torch.testing.assert_close(program.module()(*other), reference(other, True))


def test_the_public_function_exports_torch_s_attention() -> None:
    class Public(nn.Module):
        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return prefix_attention(query, key, value)

    program = torch.export.export(Public(), made(5, False)[:3])
    assert not any("seqvae" in str(node.target) for node in program.graph.nodes)


@pytest.mark.parametrize("tiled", [False, True])
def test_vmap_folds_into_the_batch(tiled: bool) -> None:
    tensors = made(5, True, 6)
    query, key, value, prefix_key, prefix_value, lengths, cosine, sine = tensors
    split = [x.unflatten(0, (3, 2)) for x in (query, value, prefix_key, prefix_value, lengths)]

    def attend(query: Tensor, value: Tensor, *others: Tensor) -> Tensor:
        prefix_key, prefix_value, lengths = others
        # The keys are not mapped over.
        tensors = (query, key[:2], value, prefix_key, prefix_value, lengths, cosine, sine)
        return fused_attention(tensors, True, tiled)

    found = torch.vmap(attend, (0, 0, 0, 0, 0))(*split)
    right = torch.stack([attend(*(x[i] for x in split)) for i in range(3)])
    torch.testing.assert_close(found, right)

    def loss(query: Tensor, *others: Tensor) -> Tensor:
        return attend(query, *others).square().sum()

    each = torch.vmap(torch.func.grad(loss))(*split)
    alone = torch.stack([torch.func.grad(loss)(*(x[i] for x in split)) for i in range(3)])
    torch.testing.assert_close(each, alone)


def test_vmap_refuses_mapped_tables() -> None:
    query, key, value, *_ = made(5, False)
    tables = drawn(3, 2, 5, 16)

    def attend(table: Tensor) -> Tensor:
        tensors = (query, key, value, None, None, None, table, table)
        return fused_attention(tensors, True, False)

    with pytest.raises(ValueError, match="rotary tables cannot be mapped over"):
        torch.vmap(attend)(tables)


def test_there_is_no_second_derivative() -> None:
    tensors = differentiable(made(3, False))
    output = fused_attention(tensors, True, False)
    (grad,) = torch.autograd.grad(output.square().sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_autocast_casts_as_for_torch_s_attention() -> None:
    query, key, value, *_ = made(5, False)
    with torch.autocast("cpu", torch.bfloat16):
        found = prefix_attention(query, key, value)
    assert found.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        inside = fused_attention((query, key, value, None, None, None, None, None), True, False)
    assert inside.dtype == torch.float32


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    store = torch.distributed.FileStore(  # type: ignore[attr-defined]
        str(tmp_path / "store"), 1
    )
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_ddp(alone: None) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(64, 192)

        def forward(self, x: Tensor) -> Tensor:
            shape = (*x.shape[:2], 3, 2, 32)
            query, key, value = self.project(x).view(shape).permute(2, 0, 3, 1, 4)
            return fused_attention((query, key, value, None, None, None, None, None), True, False)

    model = Model()
    x = drawn(4, 2, 5, 64)
    model(x).square().sum().backward()
    expected = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    nn.parallel.DistributedDataParallel(model)(x).square().sum().backward()
    for parameter, right in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, right)
