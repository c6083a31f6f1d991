"""Laws of the noise on token sequences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.noise import Noise, corrupt
from seqvae.data.text import BLANK, BOS, EOS, PAD
from seqvae.errors import UserError

VOCABULARY = 1000
ROWS = st.lists(st.lists(st.integers(5, VOCABULARY - 1), max_size=12), min_size=1, max_size=8)
PROBABILITY = st.floats(0, 0.5)


def _pad(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(row) + 2 for row in rows])
    values = np.full((len(rows), lengths.max()), PAD, np.int64)
    for i, row in enumerate(rows):
        values[i, : len(row) + 2] = [BOS, *row, EOS]
    return values, lengths


def _rows(values: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    return [row[1 : length - 1].tolist() for row, length in zip(values, lengths, strict=True)]


@given(ROWS, PROBABILITY, PROBABILITY, PROBABILITY, st.integers(0, 4), st.integers(0, 99))
def test_frame_stays_and_noise_repeats(
    rows: list[list[int]], drop: float, blank: float, substitute: float, shuffle: int, seed: int
) -> None:
    values, lengths = _pad(rows)
    before = values.copy()
    noise = Noise(drop, blank, substitute, shuffle)
    results = [
        corrupt(values, lengths, noise, VOCABULARY, np.random.default_rng(seed)) for _ in "ab"
    ]
    new, new_lengths = results[0]
    assert np.array_equal(values, before)
    assert np.array_equal(new, results[1][0])
    assert new.shape == (len(rows), new_lengths.max())
    assert (new[:, 0] == BOS).all()
    assert (new[np.arange(len(rows)), new_lengths - 1] == EOS).all()
    assert ((new == PAD) == (np.arange(new.shape[1]) >= new_lengths[:, None])).all()
    assert (new_lengths <= lengths).all()
    assert (new_lengths >= np.minimum(lengths, 3)).all()
    for row, tokens in zip(rows, _rows(new, new_lengths), strict=True):
        assert all(token == BLANK or 5 <= token < VOCABULARY for token in tokens)
        if not (blank or substitute):
            assert set(tokens) <= set(row)


@given(ROWS)
def test_no_noise_changes_nothing(rows: list[list[int]]) -> None:
    values, lengths = _pad(rows)
    assert not Noise().is_active
    new, new_lengths = corrupt(values, lengths, Noise(), VOCABULARY, np.random.default_rng(0))
    assert np.array_equal(new, values)
    assert np.array_equal(new_lengths, lengths)


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_tokens_move_at_most_the_distance(distance: int) -> None:
    values, lengths = _pad([list(range(5, 45))] * 50)
    noise = Noise(shuffle=distance)
    new, new_lengths = corrupt(values, lengths, noise, VOCABULARY, np.random.default_rng(0))
    moves = np.array(_rows(new, new_lengths)) - np.arange(5, 45)
    assert np.abs(moves).max() == distance
    assert (np.sort(new[:, 1:41], axis=1) == np.arange(5, 45)).all()


def test_rates_are_the_probabilities() -> None:
    values, lengths = _pad([list(range(5, 205))] * 200)
    generator = np.random.default_rng(0)
    _, dropped = corrupt(values, lengths, Noise(drop=0.3), VOCABULARY, generator)
    assert 1 - (dropped - 2).mean() / 200 == pytest.approx(0.3, abs=0.01)
    mixed, _ = corrupt(values, lengths, Noise(blank=0.2, substitute=0.1), VOCABULARY, generator)
    assert (mixed == BLANK).sum() / 40_000 == pytest.approx(0.2, abs=0.01)
    assert (mixed != values).sum() / 40_000 == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    "settings", [{"drop": 1.1}, {"blank": -0.1}, {"blank": 0.6, "substitute": 0.6}, {"shuffle": -1}]
)
def test_impossible_noise(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match="noise"):
        Noise(**settings)  # type: ignore[arg-type]
