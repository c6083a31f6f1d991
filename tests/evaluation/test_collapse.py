import math

import pytest
import torch

from seqvae.evaluation.collapse import (
    Aggregate,
    active_units,
    mi_batch,
    mutual_information,
    prior_gap,
)
from seqvae.evaluation.likelihood import elbo
from seqvae.posteriors.gaussian import DiagonalGaussian
from tests.linear_gaussian import LinearGaussian
from tests.tiny import tiny_batch, tiny_model


def statistics(truth: LinearGaussian, size: int) -> DiagonalGaussian:
    with torch.no_grad():
        posterior = truth.model.encode(truth.batch(size))
    assert isinstance(posterior, DiagonalGaussian)
    return posterior


@pytest.mark.parametrize("ratios", [[4.0, 1.0, 0.2], [0.05], [0.0, 0.0]])
def test_mi_of_the_model_s_own_data(ratios: list[float]) -> None:
    truth = LinearGaussian(ratios)
    posterior = statistics(truth, 3000)
    found, cap = mutual_information(posterior.location, posterior.log_variance)
    assert found == pytest.approx(truth.mutual_information, abs=0.08)
    assert cap == pytest.approx(math.log(3000))


def test_the_aggregate_of_the_exact_posterior_is_the_prior() -> None:
    truth = LinearGaussian([4.0, 1.0, 0.2])
    bound = elbo(truth.model, truth.batch(1500))
    assert bound.posterior is not None
    aggregate = Aggregate()
    aggregate.add(bound.posterior, bound.kl_dimensions)
    diagnosis = aggregate.diagnose()
    assert diagnosis.kl == pytest.approx(truth.mutual_information, abs=0.1)
    assert diagnosis.kl_by_dimension.tolist() == pytest.approx(
        [0.5 * math.log1p(ratio) for ratio in (4.0, 1.0, 0.2)], abs=0.08
    )
    assert diagnosis.marginal_kl == pytest.approx(0.0, abs=0.1)
    assert (diagnosis.au, diagnosis.dimension) == (3, 3)


def test_a_moved_posterior_shows_in_the_marginal_kl() -> None:
    truth = LinearGaussian([1.0, 1.0], move=1.0)
    bound = elbo(truth.model, truth.batch(1500))
    assert bound.posterior is not None
    aggregate = Aggregate()
    aggregate.add(bound.posterior, bound.kl_dimensions)
    # Means off by 1 in two dimensions: information as before, 2 * 1 / 2 nats further from the prior.
    assert aggregate.diagnose().mi == pytest.approx(truth.mutual_information, abs=0.08)
    assert aggregate.diagnose().marginal_kl == pytest.approx(1.0, abs=0.15)


def test_mi_ends_at_its_cap() -> None:
    means = 100 * torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    found, cap = mutual_information(means, torch.full_like(means, -10))
    assert found == pytest.approx(cap, abs=1e-9)
    assert found <= cap + 1e-12
    assert mutual_information(means[:1], torch.zeros(1, 3)) == (0.0, 0.0)


def test_mi_equals_all_pairs_of_log_densities(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(50, 3, generator=generator)
    posterior = DiagonalGaussian(means, torch.randn(50, 3, generator=generator) - 1)
    z = posterior.sample(torch.tensor([4]))[0]
    pairs = posterior.log_prob(z[:, None])
    naive = (pairs.diagonal() - pairs.logsumexp(1) + math.log(50)).mean()
    for elements in (1, 7 * 50, 10**6):
        monkeypatch.setattr("seqvae.evaluation.collapse._CHUNK_ELEMENTS", elements)
        found, _ = mutual_information(means, posterior.log_variance, seed=4)
        assert found == pytest.approx(float(naive), abs=1e-5)


def test_mi_within_batches_is_capped_lower() -> None:
    truth = LinearGaussian([50.0, 50.0, 50.0])
    posterior = statistics(truth, 1000)
    whole, _ = mutual_information(posterior.location, posterior.log_variance)
    within, cap = mi_batch(posterior.location, posterior.log_variance, batch=32)
    assert cap == math.log(32)
    assert within <= cap < whole


def test_active_units_are_those_with_signal() -> None:
    # The posterior mean's variance is r / (1 + r): 0.8, 0.0196 and 0.005 for these ratios.
    posterior = statistics(LinearGaussian([4.0, 0.02, 0.005, 0.0]), 20_000)
    assert active_units(posterior.location) == 2
    assert active_units(posterior.location, threshold=0.5) == 1
    assert active_units(posterior.location[:1]) == 0


def test_active_units_count_the_threshold_itself() -> None:
    # Variance of +-a with N - 1 = 1 is 2 a^2.
    means = torch.tensor([[0.5, 0.49], [-0.5, -0.49]], dtype=torch.float64)
    assert active_units(means, threshold=0.5) == 1


def test_prior_gap_is_the_signal() -> None:
    truth = LinearGaussian([4.0, 1.0, 0.2])
    gap = prior_gap(truth.model, [truth.batch(500, seed=seed) for seed in (1, 2)])
    assert gap == pytest.approx(truth.prior_gap, rel=0.1)
    assert prior_gap(LinearGaussian([0.0]).model, [truth.batch(50)]) == pytest.approx(0, abs=1e-4)


def test_prior_gap_needs_a_latent_and_sequences() -> None:
    with pytest.raises(ValueError, match="no latent"):
        prior_gap(tiny_model(latent=False), [tiny_batch()])
    with pytest.raises(ValueError, match="no sequences"):
        prior_gap(tiny_model(), [])


def test_batches_gather_to_the_same_diagnosis() -> None:
    truth = LinearGaussian([2.0, 0.5])
    bound = elbo(truth.model, truth.batch(100))
    posterior = bound.posterior
    assert posterior is not None
    whole, parts = Aggregate(), Aggregate()
    whole.add(posterior, bound.kl_dimensions)
    for begin in range(0, 100, 30):
        rows = slice(begin, begin + 30)
        parts.add(posterior.select(rows), bound.kl_dimensions[rows])
    assert whole.diagnose().mi == parts.diagnose().mi
    assert whole.diagnose().kl == parts.diagnose().kl
