"""`prefix_attention` on a GPU: accuracy, races, captured graphs, the way to torch. Needs torch, Triton and pytest alone."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from seqvae.nn.rotary import Rotary
from seqvae.ops.attention_reference import attention_reference, rotate, visible
from seqvae.ops.dispatch import Choice, explain, use
from seqvae.ops.prefix_attention import prefix_attention, route
from seqvae.ops.prefix_operators import Tensors, fused_attention

pytestmark = [
    pytest.mark.gpu,
    # torch.compile itself does so for the context of any autograd.Function.
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

DEVICE = "cuda"
BFLOAT16, FLOAT16, FLOAT32 = torch.bfloat16, torch.float16, torch.float32
# Tensors that have gradients.
LEAVES: Final = 5


class Case(NamedTuple):
    steps: int
    prefix: int = 0
    head: int = 64
    dtype: torch.dtype = BFLOAT16
    causal: bool = True
    tiled: bool = False
    lengths: tuple[int, ...] | None = None
    rotary: bool = False
    batch: int = 3
    heads: int = 5


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(case: Case) -> Tensors:
    """Queries, keys and values as a projection leaves them, [B, T, 3, heads, D] in memory."""
    batch, heads, steps, head = case.batch, case.heads, case.steps, case.head
    projected = drawn(0, batch, steps, 3, heads, head).to(DEVICE, case.dtype)
    query, key, value = projected.permute(2, 0, 3, 1, 4)
    prefix: list[Tensor | None] = [None, None]
    if case.prefix:
        shape = (batch, heads, case.prefix, head)
        prefix = [drawn(i, *shape).to(DEVICE, case.dtype) for i in (1, 2)]
    lengths = None if case.lengths is None else torch.tensor(case.lengths, device=DEVICE)
    tables = Rotary(head, steps).to(DEVICE)
    rotary = (tables.cosine, tables.sine) if case.rotary else (None, None)
    return query, key, value, prefix[0], prefix[1], lengths, *rotary


def differentiable(tensors: Tensors, dtype: torch.dtype | None = None) -> Tensors:
    query, key, value, prefix_key, prefix_value, *rest = (
        x if x is None or i >= LEAVES else x.detach().to(dtype).requires_grad_()
        for i, x in enumerate(tensors)
    )
    return query, key, value, prefix_key, prefix_value, *rest  # type: ignore[return-value]


def eager(tensors: Tensors, causal: bool) -> Tensor:
    """The textbook, every step in the dtype of the query."""
    query, key, value, prefix_key, prefix_value, lengths, cosine, sine = tensors
    steps, prefix = query.shape[2], 0
    if cosine is not None and sine is not None:
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
    if prefix_key is not None and prefix_value is not None:
        prefix = prefix_key.shape[2]
        key, value = torch.cat([prefix_key, key], 2), torch.cat([prefix_value, value], 2)
    score = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
    mask = visible(steps, steps, prefix, causal, lengths, query.device)
    if mask is not None:
        score = score.masked_fill(~mask, float("-inf"))
    return score.softmax(3).nan_to_num(0.0) @ value


def passes(output: Tensor, tensors: Tensors, grad: Tensor) -> list[Tensor]:
    """The output and all gradients."""
    present = [x for x in tensors[:LEAVES] if x is not None]
    return [output.detach(), *torch.autograd.grad(output, present, grad.to(output.dtype))]


def chosen(op: str = "prefix_attention") -> Choice:
    return next(choice for choice in explain() if choice.op == op)


@contextlib.contextmanager
def poison() -> Iterator[None]:
    """Fill outputs and scratch with NaN before the kernels run. Around them alone: cuBLAS would refuse."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def compare(found: list[Tensor], tensors: Tensors, causal: bool, grad: Tensor) -> None:
    """Errors at most twice those of eager torch and 2 ulp, for the output and every gradient."""
    plain, wide = differentiable(tensors), differentiable(tensors, torch.float64)
    rough = passes(eager(plain, causal), plain, grad)
    *_, lengths, cosine, sine = wide
    rotary = None if cosine is None or sine is None else (cosine.double(), sine.double())
    output = attention_reference(*wide[:LEAVES], causal=causal, lengths=lengths, rotary=rotary)
    exact = passes(output, wide, grad)
    for ours, other, right in zip(found, rough, exact, strict=True):
        ulp = torch.finfo(ours.dtype).eps * float(right.abs().max())
        allowed = 2 * float((other.double() - right).abs().max()) + 2 * ulp
        assert float((ours.double() - right).abs().max()) <= allowed


def check(case: Case, tensors: Tensors) -> None:
    """Run our kernels on inputs that must stay what they are, and compare."""
    # Strided as a projection of joined heads leaves it.
    shape = (case.batch, case.steps, case.heads, case.head)
    grad = drawn(9, *shape).to(DEVICE, case.dtype).transpose(1, 2)
    copies = [None if x is None else x.clone() for x in tensors]
    own = differentiable(tensors)
    with use("triton"), poison():
        found = passes(fused_attention(own, case.causal, case.tiled), own, grad)
    for op in ("prefix_attention", "prefix_attention_backward"):
        assert chosen(op).path == "triton", chosen(op)
    for x, copy in zip(tensors, copies, strict=True):
        assert x is None or copy is None or torch.equal(x, copy)
    compare(found, tensors, case.causal, grad)


@pytest.mark.parametrize(
    "case",
    [
        Case(1),
        Case(3, 5, rotary=True),
        Case(16, 16, 128, lengths=(16, 0, 3)),
        Case(31, 8, rotary=True),
        Case(32, 0, 32, causal=False, rotary=True),
        Case(33, 4, 128, causal=False, lengths=(33, 1, 20), rotary=True),
        Case(63, 1, lengths=(1, 63, 40), rotary=True),
        Case(64, 8, rotary=True),
        Case(127, 1, 32, rotary=True),
        Case(128, 8, rotary=True),
        Case(111, 0, causal=False, lengths=(111, 0, 64)),
        Case(17, 3, 64, FLOAT16, rotary=True),
        Case(97, 16, 32, FLOAT16, causal=False),
        Case(15, 1, 64, FLOAT32, rotary=True),
        Case(30, 2, 64, FLOAT32, causal=False, lengths=(30, 0, 2)),
        Case(63, 1, 32, FLOAT32, rotary=True),
    ],
    ids=str,
)
def test_one_tile(case: Case) -> None:
    check(case, made(case))


@pytest.mark.parametrize(
    "case",
    [
        Case(2, 1, tiled=True),
        Case(65, 5, 32, tiled=True, rotary=True),
        Case(129, 32, tiled=True, causal=False, lengths=(129, 0, 64), rotary=True),
        Case(257, 8, tiled=True),
        Case(401, 4, tiled=True, lengths=(401, 1, 300), rotary=True),
        Case(191, 3, 128, tiled=True, rotary=True),
        Case(1000, 8, 64, FLOAT16, tiled=True, causal=False, lengths=(1000, 3, 511)),
    ],
    ids=str,
)
def test_tiles(case: Case) -> None:
    check(case, made(case))


@pytest.mark.parametrize("tiled", [False, True])
def test_any_strides(tiled: bool) -> None:
    case = Case(49, 5, tiled=tiled, batch=2)
    query, key, value, prefix_key, prefix_value, *rest = made(case)
    assert prefix_key is not None and prefix_value is not None
    # Rows that do not start on 16 bytes.
    odd = torch.zeros(*value.shape[:3], 65, dtype=value.dtype, device=DEVICE)[..., 1:]
    odd.copy_(value)
    strange: Any = (
        query.transpose(2, 3).contiguous().transpose(2, 3),
        key[:1, :1].expand_as(key),
        odd,
        prefix_key.transpose(0, 2).contiguous().transpose(0, 2),
        prefix_value,
        *rest,
    )
    check(case, strange)


@pytest.mark.parametrize("tiled", [False, True])
def test_padding_is_not_read(tiled: bool) -> None:
    case = Case(77, tiled=tiled, causal=False, lengths=(0, 1, 50))
    query, key, value, *rest = made(case)
    assert rest[2] is not None
    padded = (torch.arange(77, device=DEVICE) >= rest[2][:, None])[:, None, :, None]
    dirty = [x.masked_fill(padded, float("nan")) for x in (key, value)]
    tensors = differentiable((query, *dirty, *rest))  # type: ignore[arg-type]
    found = passes(fused_attention(tensors, False, tiled), tensors, torch.ones_like(query))
    assert not any(x[0].any() for x in found)
    assert all(bool(x.isfinite().all()) for x in found)


@pytest.mark.parametrize("case", [Case(64, 8, rotary=True), Case(300, 8, tiled=True)], ids=str)
def test_eight_runs_are_equal_bit_for_bit(case: Case) -> None:
    case = case._replace(batch=64, heads=8)
    tensors = differentiable(made(case))
    grad = torch.randn_like(tensors[0])
    runs = [
        passes(fused_attention(tensors, case.causal, case.tiled), tensors, grad) for _ in range(8)
    ]
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(run, runs[0], strict=True))


@pytest.mark.parametrize("case", [Case(64, 8, rotary=True), Case(300, 8, tiled=True)], ids=str)
def test_a_captured_graph(case: Case) -> None:
    tensors = differentiable(made(case))
    grad = torch.randn_like(tensors[0])

    def step() -> list[Tensor]:
        return passes(fused_attention(tensors, case.causal, case.tiled), tensors, grad)

    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    with torch.no_grad():
        tensors[0].mul_(0.5)
    for x in found:
        x.fill_(float("nan"))
    graph.replay()
    for one, other in zip(found, step(), strict=True):
        assert torch.equal(one, other)


def test_more_than_two_to_the_31_numbers() -> None:
    case = Case(64, 8, batch=66_000, heads=8)
    if torch.cuda.mem_get_info()[0] < 60 * 2**30:
        pytest.skip("needs 60 GB")
    small = made(case._replace(batch=1))
    large = [
        None if x is None else torch.zeros(case.batch, *x.shape[1:], dtype=x.dtype, device=DEVICE)
        for x in small[:LEAVES]
    ]
    for x, one in zip(large, small, strict=False):
        assert x is not None and one is not None
        x[-1] = one[0]
    tensors = differentiable((*large, None, None, None))  # type: ignore[arg-type]
    grad = torch.zeros_like(tensors[0])
    grad[-1] = 1.0
    found = passes(fused_attention(tensors, True, False), tensors, grad)
    alone = differentiable(small)
    right = passes(fused_attention(alone, True, False), alone, grad[-1:])
    for one, other in zip(found, right, strict=True):
        assert torch.equal(one[-1:], other)
        assert not one[:-1].any()


@pytest.mark.parametrize(
    ("case", "to"),
    [
        (Case(64, 8), "tile"),
        (Case(200, 8), "tiles"),
        (Case(600, 8), "sdpa"),
        (Case(200), "sdpa"),
        (Case(20, 2, 40), "sdpa"),
        (Case(600, 2, 40, causal=False, lengths=(0, 600, 1)), "sdpa"),
        (Case(300, 0, 40, causal=False, lengths=(0, 300, 1), rotary=True), "sdpa"),
    ],
    ids=str,
)
def test_the_public_function(case: Case, to: str) -> None:
    tensors = differentiable(made(case))
    *_, lengths, cosine, sine = tensors
    rotary = None if cosine is None or sine is None else (cosine, sine)
    assert route(tensors)[0] == to
    found = prefix_attention(*tensors[:LEAVES], causal=case.causal, lengths=lengths, rotary=rotary)
    assert chosen().path == "sdpa" if to == "sdpa" else chosen().path in ("triton", "aot")
    grad = torch.randn_like(found)
    found_all = passes(found, tensors, grad)
    assert all(bool(x.isfinite().all()) for x in found_all)
    compare(found_all, tensors, case.causal, grad)


def test_the_ahead_of_time_build_computes_the_same() -> None:
    case = Case(64, 8, rotary=True)
    tensors = differentiable(made(case))
    grad = torch.randn_like(tensors[0])
    with use("aot"):
        found = passes(fused_attention(tensors, True, False), tensors, grad)
    if chosen().path != "aot":
        pytest.skip(str(chosen()))
    with use("triton"):
        right = passes(fused_attention(tensors, True, False), tensors, grad)
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic: bool) -> None:
    torch.compiler.reset()

    def attend(*tensors: Any) -> Tensor:  # noqa: ANN401
        *parts, lengths, cosine, sine = tensors
        return prefix_attention(*parts, lengths=lengths, rotary=(cosine, sine)).square()

    compiled = torch.compile(attend, fullgraph=True, dynamic=dynamic)
    for steps in (40, 150):
        tensors = differentiable(made(Case(steps, 4, lengths=(7, steps, 20), rotary=True)))
        grad = torch.randn_like(tensors[0])
        found = passes(compiled(*tensors), tensors, grad)
        for one, other in zip(found, passes(attend(*tensors), tensors, grad), strict=True):
            torch.testing.assert_close(one, other, atol=5e-2, rtol=5e-2)


def test_autocast() -> None:
    project = nn.Linear(128, 384).to(DEVICE)
    prefix = torch.randn(2, 3, 2, 4, 64, device=DEVICE).unbind()
    with torch.autocast(DEVICE, BFLOAT16):
        rows = project(torch.randn(3, 20, 128, device=DEVICE)).view(3, 20, 3, 2, 64)
        query, key, value = rows.permute(2, 0, 3, 1, 4)
        out = prefix_attention(query, key, value, *prefix)
    assert out.dtype == BFLOAT16
    assert chosen().path in ("triton", "aot")
    (grad,) = torch.autograd.grad(out.float().sum(), project.weight)
    assert bool(grad.isfinite().all())
