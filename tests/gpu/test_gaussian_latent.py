"""The Gaussian latent on a GPU: accuracy, noise, equal runs, graphs, memory, more than 2^31 elements."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.ops import FreeBits, explain, gaussian_latent, kl_rows, normal, sample_latent, use
from seqvae.ops.dispatch import Path
from tests.gaussian_cases import (
    SEED,
    STREAM,
    Case,
    every_switch,
    flat,
    odd_sizes,
    run,
    truth,
    weights,
)

pytestmark = pytest.mark.gpu
SIZES = [Case(401, 48), Case(63, 80), Case(1271, 41), Case(300, 128), Case(65, 256), Case(9, 1000)]
CASES = [*odd_sizes(), *SIZES, *every_switch(), Case(7, 4096), Case(300, 100, "both")]


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Fill outputs and scratch with NaN before the kernels run."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def took() -> dict[str, Path]:
    return {choice.op: choice.path for choice in explain()}


def noise(case: Case) -> Tensor:
    """What the kernels draw for a case: their z with mean 0 and log-variance 0, on the CPU."""
    zeros = torch.zeros(case.rows, case.dim, device="cuda")
    seed = torch.tensor([SEED], device="cuda")
    z, _ = gaussian_latent(
        *(zeros, zeros, seed), offset=STREAM, samples=case.samples, rounds=case.rounds
    )
    return z.cpu()


def eager(case: Case, drawn: Tensor) -> list[Tensor]:
    """What one writes with torch in the case's dtype, on the same noise: z, KLs and gradients."""
    leaves = case.statistics("cuda")
    mean, log_variance = case.arguments(leaves)
    if log_variance is None:
        mean, log_variance = mean.chunk(2, -1)
    if case.masked:
        counts = case.keywords("cuda")["mask"][:, None]
        mean, log_variance = mean.where(counts, 0), log_variance.where(counts, 0)
    else:
        counts = torch.ones(case.rows, 1, dtype=torch.bool, device="cuda")
    if case.clamp:
        log_variance = log_variance.clamp(*case.clamp)
    spread = torch.exp(0.5 * log_variance) * case.noise_scale
    z = torch.where(counts, mean + spread * drawn.to(mean), 0)
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
    kl = torch.where(counts, kl, 0)
    free = case.free_bits
    outputs = [z]
    if case.reduce == "none":
        outputs.append(kl)
    if case.reduce in ("rows", "both"):
        rows = kl.sum(-1)
        rows = rows.clamp_min(free.nats) if free and free.over == "row" else rows
        outputs.append(torch.where(counts[:, 0], rows, 0))
    if case.reduce in ("dimensions", "both"):
        means = kl.sum(0) / counts.sum()
        if free and free.over == "group":
            means = means.reshape(free.groups, -1).sum(-1)
        outputs.append(means.clamp_min(free.nats) if free and free.over != "row" else means)
    return [*outputs, *torch.autograd.grad(outputs, leaves, weights(outputs))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_errors_are_at_most_twice_those_of_eager(case: Case, dtype: torch.dtype) -> None:
    case = replace(case, dtype=dtype)
    drawn = noise(case)
    found, expected, plain = run(case, "cuda"), truth(case, drawn), eager(case, drawn)
    assert took()["gaussian_latent"] in ("triton", "aot")
    assert took()["gaussian_latent_backward"] in ("triton", "aot")
    for ours, exact, theirs in zip(found, expected, plain, strict=True):
        assert not torch.isnan(ours).any()
        error = (ours.cpu().double() - exact).abs().max()
        allowed = 2 * (theirs.detach().cpu().double() - exact).abs().max()
        allowed += 2 * torch.finfo(ours.dtype).eps * exact.abs().max()
        assert float(error) <= float(allowed)


@pytest.mark.parametrize("case", every_switch(torch.float16)[:5], ids=str)
def test_float16(case: Case) -> None:
    for ours, exact in zip(run(case, "cuda"), truth(case, noise(case)), strict=True):
        torch.testing.assert_close(ours.cpu(), exact.to(ours.dtype), atol=1e-4, rtol=2e-3)


@pytest.mark.parametrize("rounds", [7, 10])
@pytest.mark.parametrize("dim", [64, 20, 9])
def test_the_noise_is_that_of_the_reference(dim: int, rounds: int) -> None:
    rows = 1 << 14
    case = Case(rows, dim, rounds=rounds)
    seed = torch.tensor([SEED])
    expected = normal(seed, (rows, dim), STREAM, rounds=rounds).flatten()
    error = (noise(case).flatten() - expected).abs()
    pairs = expected.reshape(-1, 2)
    radius = pairs.square().sum(-1).sqrt().repeat_interleave(2)
    # See kernels/noise.py for these numbers.
    assert float(error[radius > 0.02].max()) < 1e-5
    assert float(error.max()) < 6e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_runs_are_equal(dtype: torch.dtype) -> None:
    case = Case(5000, 128, "both", FreeBits(0.7, "dimension"), samples=2, dtype=dtype)
    first = run(case, "cuda")
    for _ in range(7):
        assert all(torch.equal(a, b) for a, b in zip(first, run(case, "cuda"), strict=True))


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_paths_agree_and_can_be_asked_for(path: Path) -> None:
    case = Case(63, 64, "both", FreeBits(20.0), layout="packed")
    with use(path):
        found = run(case, "cuda")
        assert took()["gaussian_latent"] == took()["gaussian_latent_backward"] == path
    for ours, exact in zip(found, truth(case, None), strict=True):
        torch.testing.assert_close(ours.cpu().double(), exact, atol=1e-3, rtol=1e-4)


def test_a_graph_draws_new_noise_at_every_replay() -> None:
    statistics = torch.randn(33, 64, device="cuda", requires_grad=True)
    seed, offset = (torch.zeros(1, dtype=torch.int64, device="cuda") for _ in range(2))
    free_bits = FreeBits(0.5, "group", 4)

    def forward() -> list[Tensor]:
        return flat(
            *gaussian_latent(
                *(statistics, None, seed), offset=offset, reduce="both", free_bits=free_bits
            )
        )

    upstream = weights(forward())

    def step() -> list[Tensor]:
        outputs = forward()
        return [*outputs, *torch.autograd.grad(outputs, statistics, upstream)]

    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    seen = []
    for key, place in ((1, 0), (2, 0), (2, 7)):
        seed.fill_(key)
        offset.fill_(place)
        graph.replay()
        assert all(torch.equal(a, b) for a, b in zip(found, step(), strict=True))
        seen.append(found[0].detach().clone())
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.mark.parametrize("reduce", ["none", "rows", "both"])
def test_packed_statistics_are_not_copied(reduce: Any) -> None:  # noqa: ANN401
    rows, dim = 4096, 128
    statistics = torch.randn(rows, 2 * dim, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    seed = torch.tensor([1], device="cuda")
    gaussian_latent(statistics, None, seed, reduce=reduce)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    z, kl = gaussian_latent(statistics, None, seed, reduce=reduce)
    outputs = sum(x.numel() * x.element_size() for x in flat(z, kl))
    # Partial sums of means over rows: at most 1 MB.
    assert torch.cuda.max_memory_allocated() - before <= outputs + (1 << 20)


def test_more_than_two_to_the_31_elements() -> None:
    rows, dim = (1 << 25) + 3, 64
    if torch.cuda.mem_get_info()[0] < 24 << 30:
        pytest.skip("needs 24 GB of GPU memory")
    # Rows 0 apart: the statistics take no memory.
    mean = torch.full((1, dim), 3.0, device="cuda", dtype=torch.bfloat16).expand(rows, dim)
    log_variance = torch.zeros_like(mean[:1]).expand(rows, dim)
    seed = torch.tensor([5], device="cuda")
    z = sample_latent(mean, log_variance, seed)
    first = rows * dim - 2 * dim
    # The same noise from the reference: a stream is a function of the position.
    from seqvae.ops.philox import pair_to_normal, philox4x32, word_to_uniform

    block = torch.arange(first // 4, rows * dim // 4)
    uniforms = [word_to_uniform(word) for word in philox4x32(seed.cpu(), block)]
    lanes = (*pair_to_normal(*uniforms[:2]), *pair_to_normal(*uniforms[2:]))
    expected = 3.0 + torch.stack(lanes, 1).reshape(2, dim)
    torch.testing.assert_close(z[-2:].float().cpu(), expected, atol=2e-2, rtol=1e-2)
    kl = kl_rows(mean, log_variance)
    torch.testing.assert_close(kl[-3:].cpu(), torch.full((3,), 4.5 * dim))
    del z, kl
    z, kl = gaussian_latent(mean, log_variance, seed, reduce="rows")
    torch.testing.assert_close(z[-2:].float().cpu(), expected, atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(kl[-3:].cpu(), torch.full((3,), 4.5 * dim))


@pytest.mark.parametrize("dim", [5, 12, 64])
def test_inference_gives_what_the_differentiable_call_gives(dim: int) -> None:
    statistics = torch.randn(63, 2 * dim, device="cuda", dtype=torch.bfloat16)
    seed = torch.tensor([3], device="cuda")
    z, kl = gaussian_latent(statistics, None, seed, samples=3, reduce="rows")
    assert torch.equal(sample_latent(statistics, None, seed, samples=3), z)
    torch.testing.assert_close(kl_rows(statistics, None), kl, atol=1e-5, rtol=1e-5)
    assert took()["sample_latent"] in ("triton", "aot")
    assert took()["kl_rows"] in ("triton", "aot")


def test_what_the_kernels_do_not_serve_goes_to_the_reference() -> None:
    seed = torch.tensor([3])
    for statistics in (
        torch.randn(3, 8, device="cuda", dtype=torch.float64),
        torch.randn(3, 2 * 4097, device="cuda"),
        torch.randn(0, 8, device="cuda"),
    ):
        z, _ = gaussian_latent(statistics, None, seed, reduce="rows")
        assert torch.isfinite(z).all()
        assert took()["gaussian_latent"] == "reference"


# Dynamo makes an object of the autograd function's class itself.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_programs_draw_the_same() -> None:
    statistics = torch.randn(33, 64, device="cuda")
    seed = torch.tensor([3], device="cuda")

    def call(statistics: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        return gaussian_latent(statistics, None, seed, reduce="rows")

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for found, expected in zip(compiled(statistics, seed), call(statistics, seed), strict=True):
        assert torch.equal(found, expected)
