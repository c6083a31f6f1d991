import pytest
import torch
from torch import Tensor

from seqvae.data.text import BLANK, BOS, EOS, PAD, UNK
from seqvae.tasks import sampling
from seqvae.tasks.sampling import draw, forbid

VOCABULARY = 10
SEED = torch.tensor([3])


def scores(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(VOCABULARY, generator=generator).log_softmax(0)
    return one.expand(rows, -1).clone()


def test_draws_follow_the_probabilities() -> None:
    count = 20_000
    found = draw(scores(count), SEED, torch.arange(count), 0)
    share = torch.bincount(found, minlength=VOCABULARY) / count
    wanted = scores(1)[0].exp()
    assert ((share - wanted).abs() < 4 * (wanted * (1 - wanted) / count).sqrt()).all()


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
    "options",
    [{"top_k": 2}, {"top_k": 4}, {"top_p": 0.3}, {"top_p": 0.7}, {"top_k": 6, "top_p": 0.9}],
)
def test_a_filter_changes_only_the_draws_it_forbids(options: dict[str, float]) -> None:
    free = draw(scores(500), SEED, torch.arange(500), 1)
    filtered = draw(scores(500), SEED, torch.arange(500), 1, **options)  # type: ignore[arg-type]
    allowed = torch.isin(free, torch.tensor(sorted(set(filtered.tolist()))))
    assert allowed.any() and not allowed.all()
    torch.testing.assert_close(free[allowed], filtered[allowed])


def test_looking_for_the_nucleus_in_a_few_tokens_first_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spread = scores(300) * torch.linspace(0.1, 3, 300)[:, None]
    rows = torch.arange(300)
    wanted = [draw(spread, SEED, rows, 0, top_k=k, top_p=0.6) for k in (0, 7)]
    monkeypatch.setattr(sampling, "HEAD", 2)
    found = [draw(spread, SEED, rows, 0, top_k=k, top_p=0.6) for k in (0, 7)]
    torch.testing.assert_close(found, wanted)


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
