"""The Triton source of `prefix_attention`, interpreted: against the reference in float64, poison, strides, padding."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import torch
from torch import Tensor

from seqvae.nn.rotary import Rotary
from seqvae.ops.attention_reference import attention_reference, weights_reference
from seqvae.ops.dispatch import explain, use
from seqvae.ops.prefix_attention import prefix_attention
from seqvae.ops.prefix_operators import Tensors, forward_operator, fused_attention

FLOAT16, FLOAT32 = torch.float16, torch.float32
# Of the largest number of a result; float16 rounds weights to 11 bits before they are summed.
TOLERANCE = {FLOAT32: 2e-6, FLOAT16: 2e-3}
# Tensors that have gradients.
LEAVES: Final = 5


class Case(NamedTuple):
    steps: int
    prefix: int
    head: int = 32
    dtype: torch.dtype = FLOAT32
    causal: bool = True
    tiled: bool = False
    lengths: tuple[int, ...] | None = None
    rotary: bool = False
    heads: int = 1


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Fill outputs and scratch with NaN before the kernels run."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tables(case: Case) -> tuple[Tensor, Tensor] | tuple[None, None]:
    found = Rotary(case.head, case.steps + 3)
    return (found.cosine, found.sine) if case.rotary else (None, None)


def made(case: Case, batch: int = 2) -> Tensors:
    """Queries, keys and values as a projection leaves them, [B, T, 3, heads, D] in memory."""
    projected = drawn(0, batch, case.steps, 3, case.heads, case.head).to(case.dtype)
    query, key, value = projected.permute(2, 0, 3, 1, 4)
    shape = (batch, case.heads, case.prefix, case.head)
    prefix = [drawn(i, *shape).to(case.dtype) if case.prefix else None for i in (1, 2)]
    lengths = None if case.lengths is None else torch.tensor(case.lengths)
    return query, key, value, prefix[0], prefix[1], lengths, *tables(case)


def differentiable(tensors: Tensors, dtype: torch.dtype | None = None) -> Tensors:
    """The same with leaves of their own for what has a gradient."""
    leaves = [None if x is None else x.detach().to(dtype) for x in tensors[:LEAVES]]
    leaves = [None if x is None else x.requires_grad_() for x in leaves]
    return (*leaves, *tensors[LEAVES:])  # type: ignore[return-value]


def gradients(output: Tensor, tensors: Tensors, grad: Tensor) -> list[Tensor]:
    present = [x for x in tensors[:LEAVES] if x is not None]
    return list(torch.autograd.grad(output, present, grad))


def expected(tensors: Tensors, grad: Tensor, causal: bool) -> tuple[Tensor, list[Tensor]]:
    wide = differentiable(tensors, torch.float64)
    *_, lengths, cosine, sine = wide
    rotary = None if cosine is None or sine is None else (cosine.double(), sine.double())
    output = attention_reference(*wide[:LEAVES], causal=causal, lengths=lengths, rotary=rotary)
    return output.detach(), gradients(output, wide, grad.double())


def close(found: Tensor, right: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype and found.shape == right.shape
    largest = max(1.0, float(right.abs().max())) if right.numel() else 1.0
    torch.testing.assert_close(found.double(), right, rtol=0, atol=TOLERANCE[dtype] * largest)


def compare(case: Case, tensors: Tensors, grad: Tensor) -> None:
    copies = [None if x is None else x.clone() for x in tensors]
    own = differentiable(tensors)
    with use("triton"):
        output = fused_attention(own, case.causal, case.tiled)
        found = gradients(output, own, grad)
    ran = [choice.path for choice in explain() if choice.op.startswith("prefix_attention")]
    assert ran == ["triton", "triton"]
    right, right_gradients = expected(tensors, grad, case.causal)
    close(output, right, case.dtype)
    for one, other in zip(found, right_gradients, strict=True):
        close(one, other, case.dtype)
    for x, copy in zip(tensors, copies, strict=True):
        assert x is None or copy is None or torch.equal(x, copy)


CASES = [
    Case(1, 0),
    Case(1, 1, rotary=True),
    Case(3, 0, causal=False, lengths=(1, 3)),
    Case(3, 4, 64, FLOAT16, heads=2),
    Case(17, 5, lengths=(17, 4), rotary=True, heads=2),
    # More prefix than steps, so that the narrow tile holds prefix, too.
    Case(15, 16, dtype=FLOAT16, rotary=True),
    Case(5, 32, 64, FLOAT16, causal=False, rotary=True),
    Case(31, 4, 64, FLOAT16, rotary=True),
    Case(31, 1, 64),
    Case(33, 0, causal=False, rotary=True),
    Case(33, 5, 128, FLOAT16, rotary=True, lengths=(0, 20)),
    Case(63, 1),
    Case(63, 5, dtype=FLOAT16, causal=False, lengths=(63, 30)),
    Case(65, 0, 64, FLOAT16, rotary=True),
    Case(127, 4, dtype=FLOAT16, rotary=True, lengths=(127, 100)),
    Case(1, 0, tiled=True),
    Case(3, 4, 64, tiled=True, causal=False, rotary=True),
    Case(17, 1, tiled=True, lengths=(9, 0), heads=2),
    Case(33, 5, 128, tiled=True, rotary=True),
    Case(63, 0, 64, tiled=True, causal=False, lengths=(63, 31)),
    Case(65, 5, tiled=True, rotary=True, lengths=(64, 65)),
    Case(65, 1, 64, FLOAT16, tiled=True, causal=False, rotary=True),
    Case(127, 4, tiled=True),
    Case(127, 32, tiled=True, causal=False, lengths=(1, 127), rotary=True),
]


def name(case: Case) -> str:
    parts = ["tiles" if case.tiled else "tile", f"{case.steps}+{case.prefix}", f"d{case.head}"]
    parts += [str(case.dtype).removeprefix("torch."), "causal" if case.causal else "full"]
    parts += ["lengths"] * bool(case.lengths) + ["rotary"] * case.rotary
    return "-".join(parts)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_equals_the_reference(case: Case) -> None:
    # The gradient of an output whose heads were joined: strided as the kernels leave it.
    grad = drawn(9, 2, case.steps, case.heads, case.head).to(case.dtype).transpose(1, 2)
    compare(case, made(case), grad)


@pytest.mark.parametrize("tiled", [False, True])
def test_any_strides(tiled: bool) -> None:
    case = Case(9, 3, tiled=tiled, heads=2)
    query, key, value, prefix_key, prefix_value, *rest = made(case)
    assert prefix_key is not None and prefix_value is not None
    strange: Any = (
        query[..., torch.arange(31, -1, -1)].transpose(2, 3).contiguous().transpose(2, 3),
        key[:, :1].expand_as(key),
        value.contiguous()[..., :],
        # Not on 16 bytes.
        torch.cat([prefix_key.flatten(), torch.zeros(1)])[1:].view_as(prefix_key),
        prefix_value.expand(2, *prefix_value.shape)[1],
        *rest,
    )
    compare(case, strange, torch.tensor(0.5).expand_as(query))


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("prefix", [0, 1])
def test_padding_is_not_read(tiled: bool, prefix: int) -> None:
    # A length below 0 is 0, and one past the end is the end.
    case = Case(19, prefix, tiled=tiled, causal=False, lengths=(-3, 1, 40))
    tensors = made(case, 3)
    lengths = torch.tensor(case.lengths)
    padded = (torch.arange(case.steps) >= lengths[:, None])[:, None, :, None]
    query, key, value, *rest = tensors
    clean: Any = (query, key.masked_fill(padded, 0), value.masked_fill(padded, 0), *rest)
    dirty = [x.masked_fill(padded, float("nan")) for x in (key, value)]
    own = differentiable((query, *dirty, *rest))  # type: ignore[arg-type]
    grad = drawn(9, *query.shape).float()
    with use("triton"):
        output = fused_attention(own, case.causal, tiled)
        found = gradients(output, own, grad)
    right, right_gradients = expected(clean, grad, case.causal)
    close(output, right, case.dtype)
    for one, other in zip(found, right_gradients, strict=True):
        close(one, other, case.dtype)
    if not prefix:
        assert not output[0].any()
        assert not any(x[0].any() for x in found)


@pytest.mark.parametrize("tiled", [False, True])
def test_gradcheck(tiled: bool) -> None:
    case = Case(5, 2, dtype=torch.float64, tiled=tiled, lengths=(4,), rotary=True)
    tensors = differentiable(made(case, 1))

    def attend(*leaves: Any) -> Tensor:  # noqa: ANN401
        return fused_attention((*leaves, *tensors[LEAVES:]), case.causal, tiled)

    with use("triton"):
        assert torch.autograd.gradcheck(attend, tensors[:LEAVES], fast_mode=True)  # type: ignore[arg-type]


def test_logsumexp() -> None:
    case = Case(33, 2, tiled=True, causal=False, lengths=(0, 30))
    tensors = made(case._replace(prefix=0))
    query, key, *_, lengths, _, _ = tensors
    with use("triton"):
        _, found = forward_operator(*tensors, False, True)
    _, right = weights_reference(query.double(), key.double(), 0, False, lengths)
    assert bool(torch.isneginf(found[0]).all())
    torch.testing.assert_close(found.double(), right, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(("batch", "steps"), [(0, 4), (2, 0)])
def test_nothing(tiled: bool, batch: int, steps: int) -> None:
    tensors = differentiable(made(Case(steps, 2), batch))
    with use("triton"):
        output = fused_attention(tensors, True, tiled)
        found = gradients(output, tensors, torch.ones_like(output))
    assert output.shape == (batch, 1, steps, 32)
    assert [x.shape for x in found] == [x.shape for x in tensors[:LEAVES] if x is not None]
    assert not any(x.any() for x in found)


@pytest.mark.parametrize(
    ("case", "path", "reason"),
    [
        (Case(5, 2, rotary=True), "triton", "one tile, interpreted"),
        (Case(130, 2, dtype=FLOAT16), "triton", "tiles, interpreted"),
        (Case(5, 2, head=48), "sdpa", "no kernel for heads of 48, only (32, 64, 128)"),
        (Case(5, 33), "sdpa", "a prefix of 33, kernels take 32"),
        (Case(70, 0), "sdpa", "long: flash attention"),
        (Case(5, 0, dtype=torch.float64), "sdpa", "no kernel for torch.float64"),
    ],
)
def test_the_public_function(case: Case, path: str, reason: str) -> None:
    tensors = made(case, 1)
    cosine, sine = tensors[6:]
    rotary = None if cosine is None or sine is None else (cosine, sine)
    with use("triton"):
        found = prefix_attention(*tensors[:LEAVES], causal=True, rotary=rotary)
    choice = next(choice for choice in explain() if choice.op == "prefix_attention")
    assert (choice.path, choice.reason) == (path, reason)
    right, _ = expected(tensors, torch.ones_like(tensors[0]), True)
    torch.testing.assert_close(found.double(), right, rtol=0, atol=3e-3)


def test_no_single_tile_says_so() -> None:
    tensors = made(Case(130, 0), 1)
    with use("triton"):
        found = fused_attention(tensors, True, False)
    choice = next(choice for choice in explain() if choice.op == "prefix_attention")
    assert choice.path == "reference"
    assert choice.reason == "no single tile for 130 steps and a prefix of 0"
    torch.testing.assert_close(found, attention_reference(*tensors[:LEAVES]))
