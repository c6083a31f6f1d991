"""The noise of the Triton kernels, interpreted: Philox bit for bit, the normals and their law."""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import math

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from seqvae.kernels.gaussian_parts import expm1
from seqvae.kernels.noise import normal_tile, philox
from seqvae.ops import gaussian_latent, normal, use
from seqvae.ops.philox import philox4x32

SEEDS = [0, 12345, -(2**63), 2**63 - 1]


@triton.jit
def words_kernel(seed, stream, block, words, COUNT: tl.constexpr, ROUNDS: tl.constexpr):
    lane = tl.arange(0, COUNT)
    found = philox(tl.load(seed), tl.load(stream), tl.load(block + lane), ROUNDS)
    for i in tl.static_range(4):
        tl.store(words + i * COUNT + lane, found[i].to(tl.int64))


@triton.jit
def tile_kernel(
    seed, row, out, dim, WIDTH: tl.constexpr, ROWS: tl.constexpr, BLOCK_D: tl.constexpr
):
    which = tl.arange(0, ROWS)
    scale = tl.full([ROWS], 1.0, tl.float32)
    rows = tl.load(row + which)
    key, stream = tl.load(seed), tl.load(seed) * 0 + 3
    tile = normal_tile(key, stream, rows, dim, scale, WIDTH, 10, False, BLOCK_D)
    lane = tl.arange(0, BLOCK_D)
    tl.store(out + which[:, None] * dim + lane[None, :], tile, mask=(lane < dim)[None, :])


@triton.jit
def expm1_kernel(x, out, COUNT: tl.constexpr):
    lane = tl.arange(0, COUNT)
    tl.store(out + lane, expm1(tl.load(x + lane), False))


@pytest.mark.parametrize("rounds", [7, 10])
@pytest.mark.parametrize("stream", [0, 3, (1 << 33) + 1, -1])
@pytest.mark.parametrize("seed", SEEDS)
def test_words_are_those_of_the_reference(seed: int, stream: int, rounds: int) -> None:
    block = torch.cat([torch.arange(8), torch.arange(8) + (1 << 32) - 4, torch.arange(16) << 40])
    key, place = torch.tensor([seed]), torch.tensor([stream])
    words = torch.full((4, 32), -1)
    words_kernel[(1,)](key, place, block, words, COUNT=32, ROUNDS=rounds)
    assert torch.equal(words, torch.stack(philox4x32(key, block, stream, rounds)))


@pytest.mark.parametrize("first", [0, (1 << 31) - 1, (1 << 40) + 1])
@pytest.mark.parametrize(("dim", "width"), [(16, 8), (16, 4), (16, 1), (12, 4), (12, 1), (7, 1)])
def test_a_tile_holds_the_normals_at_its_positions(dim: int, width: int, first: int) -> None:
    seed, rows = torch.tensor([99]), torch.tensor([first, first + 1, first + 5, 0])
    out = torch.full((4, dim), float("nan"))
    tile_kernel[(1,)](seed, rows, out, dim, WIDTH=width, ROWS=4, BLOCK_D=16)
    for row, found in zip(rows.tolist(), out, strict=True):
        position = row * dim + torch.arange(dim)
        torch.testing.assert_close(found, normals_at(seed, position), atol=2e-6, rtol=0)


def normals_at(seed: Tensor, position: Tensor) -> Tensor:
    """Elements of the stream 3, by the reference: position p is lane p % 4 of block p // 4."""
    from seqvae.ops.philox import pair_to_normal, word_to_uniform

    uniforms = [word_to_uniform(word) for word in philox4x32(seed, position // 4, 3)]
    lanes = torch.stack((*pair_to_normal(*uniforms[:2]), *pair_to_normal(*uniforms[2:])), 1)
    return lanes[torch.arange(len(position)), position % 4]


def drawn(seed: int, rows: int, dim: int, offset: int = 0) -> Tensor:
    """The noise of the forward kernel: with mean 0 and log-variance 0 it is z."""
    zeros = torch.zeros(rows, dim)
    with use("triton"):
        z, _ = gaussian_latent(zeros, zeros, torch.tensor([seed]), offset=offset)
    return z


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return drawn(2024, 512, 256)


def test_the_kernel_draws_what_the_reference_draws(noise: Tensor) -> None:
    torch.testing.assert_close(noise, normal(torch.tensor([2024]), (512, 256)), atol=2e-6, rtol=0)


def test_moments(noise: Tensor) -> None:
    values = noise.flatten().double()
    error = 5 / math.sqrt(len(values))
    assert abs(float(values.mean())) < error
    assert abs(float(values.square().mean()) - 1) < error * math.sqrt(2)
    assert abs(float(values.pow(3).mean())) < error * math.sqrt(15)
    assert abs(float(values.pow(4).mean()) - 3) < error * math.sqrt(96)


def test_the_distribution_is_normal(noise: Tensor) -> None:
    values = noise.flatten().double().sort().values
    expected = 0.5 * (1 + torch.erf(values / math.sqrt(2)))
    steps = torch.arange(len(values) + 1, dtype=torch.float64) / len(values)
    distance = torch.maximum(steps[1:] - expected, expected - steps[:-1]).max()
    # Kolmogorov and Smirnov: exceeded by chance once in a thousand.
    assert float(distance) < 1.95 / math.sqrt(len(values))


def test_rows_columns_and_tiles_are_independent(noise: Tensor) -> None:
    values = noise.double()
    flat = values.flatten()
    # Neighbours, the lanes of a call, rows, the tiles of 1024 elements that the kernel takes.
    for lag in (1, 2, 3, 4, 8, 256, 512, 1024):
        correlation = float((flat[lag:] * flat[:-lag]).mean())
        assert abs(correlation) < 5 / math.sqrt(len(flat) - lag)
    assert len(torch.unique(flat)) > 0.99 * len(flat)


def test_seeds_and_streams_are_independent(noise: Tensor) -> None:
    for other in (drawn(2025, 64, 256), drawn(2024 + (1 << 32), 64, 256), drawn(2024, 64, 256, 1)):
        correlation = float((noise[:64] * other).double().mean())
        assert abs(correlation) < 5 / math.sqrt(other.numel())


@pytest.mark.parametrize("dim", [64, 20, 9])
def test_the_backward_pass_draws_the_same_noise(dim: int) -> None:
    log_variance = torch.zeros(5, dim, requires_grad=True)
    with use("triton"):
        z, _ = gaussian_latent(torch.zeros(5, dim), log_variance, torch.tensor([7]), samples=3)
        (gradient,) = torch.autograd.grad(z.sum(), log_variance)
    torch.testing.assert_close(gradient, 0.5 * z.sum(0))


def test_expm1_is_exact_at_every_size() -> None:
    x = torch.cat(
        [
            torch.linspace(-1, 1, 1024),
            torch.linspace(-110, 80, 511),
            torch.logspace(-30, 0, 256),
            -torch.logspace(-30, 0, 256),
            torch.tensor([-math.inf]),
        ]
    )
    out = torch.empty_like(x)
    expm1_kernel[(1,)](x, out, COUNT=2048)
    expected = torch.expm1(x.double())
    error = (out.double() - expected).abs() / expected.abs()
    assert float(error.max()) < 2.5e-7
