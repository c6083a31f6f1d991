"""Laws of the loader: every sequence once an epoch, the budget kept, ranks apart, exact resume."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.corpus import Corpus
from seqvae.data.loader import BatchPlan, Loader, RawBatch
from seqvae.data.text import BOS, EOS, PAD
from seqvae.errors import UserError

LENGTHS = st.lists(st.integers(2, 120), min_size=1, max_size=300).map(np.array)


@given(LENGTHS, st.integers(0, 5), st.booleans(), st.integers(1, 40))
def test_every_sequence_once_within_budget(
    lengths: np.ndarray, epoch: int, shuffle: bool, max_batch: int
) -> None:
    plan = (
        BatchPlan(
            lengths,
            tokens_per_batch=200,
            max_batch=max_batch,
            max_length=100,
            seed=1,
            shuffle=shuffle,
        )
        if (lengths <= 100).any()
        else None
    )
    if plan is None:
        return
    batches = plan.epoch(epoch)
    assert len(batches) == len(plan)
    assert sorted(np.concatenate(batches)) == np.flatnonzero(lengths <= 100).tolist()
    assert plan.skipped == int((lengths > 100).sum())
    for batch in batches:
        assert 0 < len(batch) <= max_batch
        assert len(batch) * lengths[batch].max() <= 200


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 1000)
    plans = [BatchPlan(lengths, tokens_per_batch=512, seed=seed) for seed in (7, 7, 8)]
    orders = [np.concatenate(plan.epoch(3)) for plan in plans]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], np.concatenate(plans[0].epoch(4)))


def test_little_padding() -> None:
    lengths = np.random.default_rng(0).lognormal(3, 0.5, 20_000).astype(int).clip(2, 250)
    batches = BatchPlan(lengths, tokens_per_batch=4096).epoch(0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / padded > 0.97
    assert padded / len(batches) / 4096 > 0.95


def _loader(corpus: Corpus, **settings: int | bool) -> Loader:
    return Loader(corpus.split("train"), **({"tokens_per_batch": 400, "seed": 3} | settings))  # type: ignore[arg-type]


def test_a_batch_holds_the_stored_sequences(corpus: Corpus) -> None:
    store = corpus.split("train")
    loader = _loader(corpus, pairs=True)
    for _ in range(loader.steps_per_epoch):
        batch = loader.next_batch()
        assert batch.values.dtype == batch.lengths.dtype == np.int64
        assert batch.values.shape == (len(batch.indices), batch.lengths.max())
        assert batch.targets is not None
        assert batch.target_lengths is not None
        assert batch.labels is not None
        for row, index in enumerate(batch.indices):
            _check_row(batch.values[row], batch.lengths[row], store.tokens(index))
            target = store.target(index)
            assert target is not None
            _check_row(batch.targets[row], batch.target_lengths[row], target)
            assert store.labels is not None
            assert batch.labels[row] == store.labels[index]


def _check_row(row: np.ndarray, length: int, tokens: np.ndarray) -> None:
    assert row[:length].tolist() == [BOS, *tokens, EOS]
    assert (row[length:] == PAD).all()


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_an_epoch(corpus: Corpus, world: int) -> None:
    loaders = [_loader(corpus, rank=rank, world=world) for rank in range(world)]
    assert len({loader.steps_per_epoch for loader in loaders}) == 1
    parts = [np.concatenate(loader.epoch_batches(0)) for loader in loaders]
    everything = np.concatenate(parts)
    assert len(set(everything)) == len(everything)
    alone = _loader(corpus)
    left_out = alone.steps_per_epoch - world * loaders[0].steps_per_epoch
    assert 0 <= left_out < world
    assert len(everything) <= len(corpus.split("train"))


def _same(first: RawBatch, second: RawBatch) -> bool:
    return np.array_equal(first.values, second.values) and np.array_equal(
        first.indices, second.indices
    )


@given(st.integers(0, 120))
def test_resume_is_exact(corpus: Corpus, steps: int) -> None:
    loader = _loader(corpus)
    for _ in range(steps):
        loader.next_batch()
    resumed = _loader(corpus)
    resumed.load_state(json.loads(json.dumps(loader.state())))
    assert resumed.progress == loader.progress == pytest.approx(steps / loader.steps_per_epoch)
    assert resumed.epoch == loader.epoch
    for _ in range(5):
        assert _same(loader.next_batch(), resumed.next_batch())


def test_resume_with_other_settings_is_refused(corpus: Corpus) -> None:
    state = _loader(corpus).state()
    for other in ({"seed": 4}, {"tokens_per_batch": 500}, {"world": 2}):
        with pytest.raises(UserError, match=f"cannot resume the loader: {next(iter(other))}"):
            _loader(corpus, **other).load_state(state)
    with pytest.raises(UserError, match="no step"):
        _loader(corpus).load_state(state | {"step": 10_000})


def test_impossible_settings(corpus: Corpus) -> None:
    with pytest.raises(UserError, match="cannot hold the longest"):
        _loader(corpus, tokens_per_batch=8)
    with pytest.raises(UserError, match=r"all .* longer than max_length 3"):
        _loader(corpus, max_length=3)
    with pytest.raises(UserError, match="cannot feed 9999 processes"):
        _loader(corpus, world=9999)
