import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqvae.data.text import BLANK, BOS, EOS, PAD, UNK
from seqvae.ops import uniform
from seqvae.ops.philox import word_to_uniform
from seqvae.tasks.sampling import (
    STRIDE,
    block_width,
    draw,
    forbid,
    invert,
    keep,
    pick,
    token_uniforms,
)

VOCABULARY = 10
SEED = torch.tensor([3])
HIGHEST = float(word_to_uniform(torch.tensor(0x7FFFFFFF)))
NOTHING = float("-inf")


def scores(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(VOCABULARY, generator=generator).log_softmax(0)
    return one.expand(rows, -1).clone()


def test_draws_follow_the_probabilities() -> None:
    count = 20_000
    found = draw(scores(count), SEED, torch.arange(count), 0)
    share = torch.bincount(found, minlength=VOCABULARY) / count
    wanted = scores(1)[0].exp()
    # Chi-square with V - 1 degrees of freedom has mean V - 1 and variance 2 (V - 1).
    statistic = float((count * (share - wanted) ** 2 / wanted).sum())
    freedom = VOCABULARY - 1
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("step", [0, 3, 4, 101])
def test_tokens_of_a_large_vocabulary_are_drawn_from_everywhere(step: int) -> None:
    count, vocabulary, parts = 5000, 1009, 16
    flat = torch.zeros(count, vocabulary)
    found = draw(flat, SEED, torch.arange(count), step)
    assert int(found.min()) >= 0 and int(found.max()) < vocabulary
    share = torch.bincount(found * parts // vocabulary, minlength=parts) / count
    statistic = float((count * (share - 1 / parts) ** 2 * parts).sum())
    assert abs(statistic - (parts - 1)) < 4 * math.sqrt(2 * (parts - 1))


@given(
    scores=st.lists(
        st.one_of(st.just(NOTHING), st.integers(-8, 8).map(lambda x: x / 4)),
        min_size=1,
        max_size=40,
    ).filter(lambda x: max(x) > NOTHING),
    uniform=st.one_of(
        st.sampled_from([0.0, HIGHEST]), st.floats(0, 1 - 2**-24, width=32, allow_subnormal=False)
    ),
    top_k=st.integers(0, 45),
    top_p=st.sampled_from([1.0, 0.999, 0.9, 0.5, 0.1, 1e-9]),
    temperature=st.sampled_from([1.0, 0.5, 2.0, 1e-6]),
)
def test_the_token_is_that_of_the_definition(
    scores: list[float], uniform: float, top_k: int, top_p: float, temperature: float
) -> None:
    """Written out with sorting, in float64; scores with many ties."""
    every = np.array(scores)
    mass = np.exp((every - every.max()) / temperature)
    kept = np.isfinite(every)
    if 0 < top_k < len(every):
        kept &= every >= np.sort(every)[-top_k]
    if top_p < 1:
        ranked = np.sort(every[kept])[::-1]
        reached = np.exp((ranked - every.max()) / temperature).cumsum()
        # A share that rounding alone separates from the limit may fall on either side of it.
        limit = float(np.float32(top_p)) * reached[-1]
        if np.isclose(reached, limit, rtol=1e-6, atol=0).any():
            return
        kept &= every >= ranked[(reached < limit).sum()]
    width = block_width(len(every))
    blocks = np.pad(np.where(kept, mass, 0), (0, -len(every) % width)).reshape(-1, width)
    ends = blocks.sum(1).cumsum() / blocks.sum()
    found = pick(
        torch.tensor([scores]),
        torch.tensor([[uniform]]),
        torch.tensor([[temperature]]),
        torch.tensor([[top_k]]),
        torch.tensor([[top_p]]),
    )
    token = int(found)
    assert kept[token]
    block, place = divmod(token, width)
    inside = blocks[block].cumsum() / blocks[block].sum()
    rest = float(np.float32(uniform)) * STRIDE % 1.0
    for borders, at, number in ((ends, block, uniform), (inside, place, rest)):
        assert (borders[at - 1] if at else 0) <= number + 1e-6 and borders[at] > number - 1e-6


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 10, 97, 8000])
def test_both_ends_of_the_unit_interval_find_a_token_that_may_come(vocabulary: int) -> None:
    rows = 35
    allowed = torch.rand(rows, vocabulary, generator=torch.Generator().manual_seed(1)) < 0.5
    allowed[:, 0] |= ~allowed.any(1)
    # From 1 down to what float32 hardly holds.
    weights = torch.where(allowed, 10.0 ** -torch.arange(rows)[:, None], 0.0)
    first = invert(weights, torch.zeros(rows, 1))
    assert torch.equal(first[:, 0], allowed.float().argmax(1))
    last = invert(weights, torch.full((rows, 1), HIGHEST))
    assert allowed.gather(1, last).all()
    width = block_width(vocabulary)
    behind = (weights * (torch.arange(vocabulary) // width > last // width)).sum(1)
    assert (behind / weights.sum(1) <= 2**-23).all()


def test_a_uniform_on_a_border_belongs_to_the_next_block() -> None:
    weights = torch.tensor([[0.25, 0.0, 0.25, 0.0]] * 2)  # blocks of two
    assert invert(weights, torch.tensor([[0.49], [0.5]]))[:, 0].tolist() == [0, 2]


def test_what_is_hardly_probable_and_first_is_still_found() -> None:
    weights = torch.cat([torch.full((1, 1), 2.0**-30), torch.zeros(1, 1), torch.ones(1, 2)], 1)
    assert invert(weights, torch.tensor([[2.0**-32]])).item() == 0
    assert invert(weights, torch.tensor([[2.0**-29]])).item() == 2


def test_the_digits_within_a_block_are_even() -> None:
    """Whatever the block: each of its tokens has its share to a few units of float32."""
    for begin, count in ((0, 1 << 14), ((1 << 24) - (1 << 14), 1 << 14), (1 << 22, 1 << 10)):
        uniform = (begin + torch.arange(count, dtype=torch.float64)) / 2**24
        assert torch.equal(uniform, uniform.float().double())
        rest = (uniform * STRIDE) % 1.0
        empirical = rest.sort().values - (torch.arange(count) + 0.5) / count
        assert float(empirical.abs().max()) * count < 12


def test_logits_that_differ_by_rounding_give_the_same_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4000, 2000, generator=generator)
    others = logits + 2e-6 * torch.randn(4000, 2000, generator=generator)
    rows = torch.arange(4000)
    assert (draw(logits, SEED, rows, 0) != draw(others, SEED, rows, 0)).sum() <= 1


@pytest.mark.parametrize("k", [1, 3, VOCABULARY - 1])
def test_top_k_draws_from_the_k_best_and_from_all_of_them(k: int) -> None:
    found = draw(scores(5000), SEED, torch.arange(5000), 2, top_k=k)
    assert set(found.tolist()) == set(scores(1)[0].topk(k).indices.tolist())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_top_p_draws_from_the_smallest_set_with_that_mass(p: float) -> None:
    order = scores(1)[0].exp().sort(descending=True)
    size = int((order.values.cumsum(0) < p).sum()) + 1
    found = draw(scores(5000), SEED, torch.arange(5000), 2, top_p=p)
    assert set(found.tolist()) == set(order.indices[:size].tolist())


def test_top_p_counts_the_mass_that_top_k_and_temperature_leave() -> None:
    found = draw(scores(5000), SEED, torch.arange(5000), 0, temperature=0.5, top_k=4, top_p=0.8)
    kept = (scores(1)[0] / 0.5).topk(4)
    size = int((kept.values.softmax(0).cumsum(0) < 0.8).sum()) + 1
    assert set(found.tolist()) == set(kept.indices[:size].tolist())


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ((1, 1.0), [2]),
        ((2, 1.0), [0, 2, 3, 5]),  # three tie for the second place: all stay
        ((4, 1.0), [0, 2, 3, 5]),
        ((5, 1.0), [0, 2, 3, 4, 5]),
        ((0, 1e-9), [2]),
        ((0, 0.41), [0, 2, 3, 5]),
        ((0, 0.95), [0, 2, 3, 5]),
        ((0, 0.999), [0, 2, 3, 4, 5]),
        ((4, 0.3), [2]),
        ((2, 0.99), [0, 2, 3, 5]),
        ((0, 1.0), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_filters_keep_ties(options: tuple[int, float], kept: list[int]) -> None:
    probabilities = torch.tensor([[0.19, 0.0, 0.39, 0.19, 0.04, 0.19]])
    found = keep(
        probabilities.log(),
        probabilities,
        torch.tensor([[options[0]]]),
        torch.tensor([[options[1]]]),
    )
    wanted = torch.zeros_like(probabilities)
    wanted[:, kept] = probabilities[:, kept]
    assert torch.equal(found, wanted)


def test_each_row_has_filters_of_its_own() -> None:
    logits = 2 * torch.randn(6, 300, generator=torch.Generator().manual_seed(2))
    k, p = [0, 3, 0, 50, 300, 1], [1.0, 1.0, 0.6, 0.8, 1.0, 0.2]
    everything = logits.softmax(1)
    together = keep(logits, everything, torch.tensor(k)[:, None], torch.tensor(p)[:, None])
    for row in range(6):
        some = slice(row, row + 1)
        alone = keep(
            logits[some],
            everything[some],
            torch.tensor([[k[row]]]) if 0 < k[row] < 300 else None,
            torch.tensor([[p[row]]]) if p[row] < 1 else None,
        )
        assert torch.equal(alone, together[some])
    assert (together > 0).sum(1).tolist()[:2] == [300, 3]


def test_rows_of_other_seeds_may_share_a_batch() -> None:
    seeds = torch.tensor([3, -7, 2**63 - 1, -(2**63)])
    rows = torch.tensor([0, 5, 2**31 - 2, 5])
    together = token_uniforms(seeds, rows, 6, 9)
    for i in range(len(seeds)):
        alone = token_uniforms(seeds[i : i + 1], rows[i : i + 1], 6, 9)
        assert torch.equal(alone, together[i : i + 1])
        stream = uniform(seeds[i : i + 1], (15,), (int(rows[i]) + 1) << 32)
        assert torch.equal(stream[6:], together[i])
    found = draw(scores(4), seeds, rows, 8)
    assert torch.equal(found[2:3], draw(scores(1), seeds[2:3], rows[2:3], 8))


def test_the_uniforms_before_a_step_do_not_matter() -> None:
    rows = torch.arange(5)
    whole = token_uniforms(SEED, rows, 0, 64)
    for first in (0, 1, 2, 3, 4, 63):
        assert torch.equal(token_uniforms(SEED, rows, first, 1), whole[:, first : first + 1])


def test_tokens_forbidden_at_the_end_of_the_vocabulary_never_come() -> None:
    some = scores(2000)
    some[:, 6:] = NOTHING
    assert set(draw(some, SEED, torch.arange(2000), 0).tolist()) == set(range(6))
    assert set(draw(some, SEED, torch.arange(2000), 0, top_k=9).tolist()) == set(range(6))


def test_a_low_temperature_is_greedy() -> None:
    found = draw(scores(500), SEED, torch.arange(500), 0, temperature=1e-3)
    assert (found == scores(1).argmax()).all()


def test_a_row_is_drawn_by_its_key_alone() -> None:
    together = draw(scores(40), SEED, torch.arange(40), 5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(draw(scores(40), SEED, order, 5), together[order])
    torch.testing.assert_close(draw(scores(1), SEED, torch.tensor([17]), 5), together[17:18])


def test_seed_row_and_step_all_matter() -> None:
    rows = torch.arange(200)
    first = draw(scores(200), SEED, rows, 0)
    assert (first != draw(scores(200), SEED + 1, rows, 0)).any()
    assert (first != draw(scores(200), SEED, rows, 1)).any()
    assert (first != draw(scores(200), SEED, rows + 1000, 0)).any()


def test_special_tokens_are_forbidden_and_the_end_is_not() -> None:
    found = forbid(scores(2), torch.empty(2, 0, dtype=torch.int64), 0)
    assert found[:, [PAD, UNK, BOS, BLANK]].isneginf().all()
    assert found[:, EOS].isfinite().all()


@pytest.mark.parametrize(
    ("n", "written", "banned"),
    [
        (1, [5, 6], [5, 6]),
        (2, [5, 6, 7, 5], [6]),
        (2, [5, 6, 5, 7, 5], [6, 7]),
        (3, [5, 6, 7, 5, 6], [7]),
        (3, [5, 6], []),
        (3, [5, 6, 7, 8, 9], []),
    ],
)
def test_a_run_is_not_repeated(n: int, written: list[int], banned: list[int]) -> None:
    found = forbid(scores(1), torch.tensor([written]), n)[0]
    assert found[5:].isneginf().nonzero()[:, 0].add(5).tolist() == banned
