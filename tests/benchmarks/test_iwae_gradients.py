"""The signal-to-noise of draws whose mean and covariance are known."""

import pytest
import torch

from benchmarks.iwae_gradients import bound, signal, slope


@pytest.mark.parametrize("length", [0.0, 0.5, 4.0])
def test_the_ratio_is_that_of_mean_and_covariance(length: float) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(0.5, 1.5, 300)
    mean = torch.randn(300, generator=generator)
    mean = mean * length / mean.norm()
    draws = mean + spread * torch.randn(100, 300, generator=generator)
    found = signal(draws)
    exact = length / float(spread.square().sum()) ** 0.5
    # Squared, as it is estimated: near zero the root is not normal.
    assert found.ratio * abs(found.ratio) == pytest.approx(exact**2, abs=0.003)
    if length == 4.0:
        assert abs(found.ratio - exact) < 4 * found.error < 0.2 * exact


def test_clearer_draws_of_the_same_mean_lend_their_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.full((200,), 0.05)
    noisy = mean + 2 * torch.randn(80, 200, generator=generator)
    clear = mean + 0.02 * torch.randn(80, 200, generator=generator)
    exact = float(mean.norm()) / (4 * 200) ** 0.5
    own, lent = signal(noisy), signal(noisy, clear)
    assert lent.ratio == pytest.approx(exact, rel=0.02)
    assert lent.error < 0.1 * own.error


def test_groups_of_more_samples_bound_tighter() -> None:
    weights = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    nats = torch.stack([bound(weights, samples) for samples in (1, 2, 8, 64)])
    assert (nats[:-1] > nats[1:]).all()
    torch.testing.assert_close(nats[0], -weights.mean(0))
    torch.testing.assert_close(nats[-1], -weights.exp().mean(0).log())


def test_the_exponent_begins_at_two_samples() -> None:
    rows = [{"samples": k, "ratio": 3 * k**-0.5} for k in (1, 2, 4, 8)]
    assert slope(rows) == pytest.approx(-0.5)
    assert slope([{"samples": 1, "ratio": 0.01}, *rows[1:]]) == pytest.approx(-0.5)
