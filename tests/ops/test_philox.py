"""Philox words against published answers, and the laws of the floats made from them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqvae.ops.philox import (
    normal,
    pair_to_normal,
    philox4x32,
    uniform,
    uniform_rows,
    word_to_uniform,
)

SEED = torch.tensor([2024])


def signed(low: int, high: int) -> int:
    """The int64 whose two's-complement halves are ``low`` and ``high``."""
    value = low | (high << 32)
    return value - (1 << 64) if value >> 63 else value


# counter words, key words, answer: the philox4x32 10 lines of Random123's kat_vectors.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
@pytest.mark.parametrize("offset_as_tensor", [False, True])
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...], offset_as_tensor: bool
) -> None:
    offset = signed(counter[2], counter[3])
    words = philox4x32(
        torch.tensor([signed(*key)]),
        torch.tensor([signed(counter[0], counter[1])]),
        torch.tensor(offset) if offset_as_tensor else offset,
    )
    assert tuple(int(word) for word in words) == answer


# The philox4x32 7 lines of the same file.
KNOWN_7 = [
    ((0, 0, 0, 0), (0, 0), (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_7)
def test_known_answers_of_seven_rounds(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    words = philox4x32(
        torch.tensor([signed(*key)]),
        torch.tensor([signed(counter[0], counter[1])]),
        signed(counter[2], counter[3]),
        rounds=7,
    )
    assert tuple(int(word) for word in words) == answer


@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    start=st.integers(0, 2**40),
    offset=st.integers(0, 2**63 - 1),
)
def test_words_are_a_function_of_position(seed: int, start: int, offset: int) -> None:
    key = torch.tensor([seed])
    together = torch.stack(philox4x32(key, torch.arange(start, start + 5), offset))
    alone = torch.stack(philox4x32(key, torch.tensor([start + 3]), offset))
    assert torch.equal(together[:, 3:4], alone)
    assert together.min() >= 0
    assert together.max() < 2**32


@pytest.mark.parametrize("draw", [uniform, normal])
@pytest.mark.parametrize("count", [0, 1, 3, 63, 257])
def test_a_shorter_draw_is_a_prefix(draw: type, count: int) -> None:
    long = draw(SEED, (1024,), offset=3)
    assert torch.equal(draw(SEED, (count,), offset=3), long[:count])


def test_streams_differ() -> None:
    base = normal(SEED, (64,))
    assert not torch.equal(base, normal(SEED, (64,), offset=1))
    assert not torch.equal(base, normal(SEED, (64,), offset=1 << 32))
    assert not torch.equal(base, normal(SEED + 1, (64,)))
    assert not torch.equal(base, normal(SEED + (1 << 32), (64,)))
    assert not torch.equal(base[:4], base[4:8])


def test_words_at_the_edges_become_uniforms_below_one() -> None:
    words = torch.tensor([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
    values = word_to_uniform(words)
    assert values.dtype == torch.float32
    assert values.tolist()[0] == values.tolist()[4] == 0.0
    assert values[2] == values[3]
    assert 0.9999 < float(values[2]) < 1.0


def test_normals_are_finite_at_the_edges() -> None:
    edge = torch.tensor([0.0, 1.0 - 2**-24])
    x, y = pair_to_normal(edge, edge.flip(0))
    assert torch.isfinite(x).all()
    assert torch.isfinite(y).all()
    assert float(torch.stack([x, y]).abs().max()) <= math.sqrt(-2 * math.log(1e-7)) + 1e-5


def test_moments_and_lanes_are_independent() -> None:
    count = 400_000
    draws = normal(SEED, (count,)).double()
    error = 5 / math.sqrt(count)
    assert abs(float(draws.mean())) < error
    assert abs(float(draws.square().mean()) - 1) < error * math.sqrt(2)
    assert abs(float(draws.pow(4).mean()) - 3) < error * math.sqrt(96)
    lanes = draws.reshape(-1, 4)
    correlation = (lanes.T @ lanes) / lanes.shape[0] - torch.eye(4, dtype=torch.float64)
    assert float(correlation.abs().max()) < 10 / math.sqrt(count)
    uniforms = uniform(SEED, (count,)).double()
    assert abs(float(uniforms.mean()) - 0.5) < error
    assert 0 <= float(uniforms.min())
    assert float(uniforms.max()) < 1


@given(
    seeds=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
    first=st.integers(0, 2**40),
    count=st.integers(0, 9),
    offset=st.integers(0, 2**62),
)
def test_rows_are_streams_of_their_own(
    seeds: list[int], first: int, count: int, offset: int
) -> None:
    offsets = offset + torch.arange(len(seeds)) * 0x1_0000_0001
    together = uniform_rows(torch.tensor(seeds), offsets, first, count)
    assert together.shape == (len(seeds), count)
    shared = uniform_rows(torch.tensor(seeds[:1]), offsets, first, count)
    for row, seed in enumerate(seeds):
        blocks = torch.arange(first // 4, first // 4 + 4)
        words = torch.stack(philox4x32(torch.tensor([seed]), blocks, offsets[row]), -1).flatten()
        wanted = word_to_uniform(words)[first % 4 : first % 4 + count]
        assert torch.equal(together[row], wanted)
        assert not row or seeds[0] != seed or torch.equal(shared[row], wanted)


@pytest.mark.parametrize("seed", [torch.tensor([1, 2]), torch.tensor([1, 2, 3]).int()])
def test_a_seed_for_rows_that_are_not_there_is_refused(seed: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="one for each of 3 rows"):
        uniform_rows(seed, torch.arange(3), 0, 1)


@pytest.mark.parametrize("seed", [torch.tensor([1, 2]), torch.tensor([1], dtype=torch.int32)])
def test_a_wrong_seed_is_refused(seed: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="one element"):
        philox4x32(seed, torch.arange(2))


def test_a_wrong_counter_is_refused() -> None:
    with pytest.raises(ValueError, match="counter must be int64"):
        philox4x32(SEED, torch.arange(2, dtype=torch.int32))


@pytest.mark.gpu
def test_the_gpu_draws_the_same_numbers() -> None:
    counter = torch.arange(1000)
    here = torch.stack(philox4x32(SEED, counter, 5))
    there = torch.stack(philox4x32(SEED.cuda(), counter.cuda(), 5))
    assert torch.equal(here, there.cpu())
    torch.testing.assert_close(
        normal(SEED, (999,)), normal(SEED.cuda(), (999,)).cpu(), atol=2e-6, rtol=0
    )
