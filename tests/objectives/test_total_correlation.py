"""The three parts of the KL, held to closed forms."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from seqvae.config import Experiment, Model
from seqvae.errors import UserError
from seqvae.objectives import Terms, TotalCorrelation
from seqvae.objectives.crossed import Crossed, crossed_of
from seqvae.objectives.total_correlation import parts
from seqvae.posteriors import Iaf, LowRank
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Mixture
from seqvae.schedules import Constant
from tests.laws import noise, seed
from tests.objectives.test_importance import sentences, text_model
from tests.training.runs import GRU

ROWS = 3000
VARIANCE = 0.3


def cloud(correlation: float, rows: int = ROWS) -> tuple[DiagonalGaussian, Tensor]:
    """Posteriors whose means are correlated Gaussians: q(z) is one, with the covariance [3, 3] returned."""
    covariance = torch.tensor([[0.7, 0.0, 0.0], [0.0, 1.2, 0.0], [0.0, 0.0, 0.4]])
    covariance[0, 1] = covariance[1, 0] = correlation * (0.7 * 1.2) ** 0.5
    means = noise(rows, 3)
    # Their sample covariance is exactly that: the closed forms hold but for the finite cloud.
    means = means - means.mean(0)
    means = means @ torch.linalg.inv(torch.linalg.cholesky(means.t() @ means / rows)).t()
    means = means @ torch.linalg.cholesky(covariance).t()
    log_variance = torch.full((rows, 3), math.log(VARIANCE))
    return DiagonalGaussian(means, log_variance), covariance + VARIANCE * torch.eye(3)


def crossed(posterior: DiagonalGaussian, of: int = 1) -> Crossed:
    return crossed_of(posterior, posterior.sample(seed(of)))


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_each_part_is_its_closed_form_over_the_whole_data(correlation: float) -> None:
    posterior, whole = cloud(correlation)
    found = parts(crossed(posterior), ROWS)
    variances = whole.diagonal()
    total = 0.5 * (variances.log().sum() - torch.logdet(whole))
    information = 0.5 * (torch.logdet(whole) - 3 * math.log(VARIANCE))
    own = 0.5 * (variances - 1 - variances.log()).sum()
    assert float(found.total_correlation) == pytest.approx(float(total), abs=0.05)
    assert float(found.information) == pytest.approx(float(information), abs=0.1)
    assert float(found.dimension_wise) == pytest.approx(float(own), abs=0.05)
    kl = posterior.kl().sum(1).mean()
    added = found.information + found.total_correlation + found.dimension_wise
    assert float(added) == pytest.approx(float(kl), abs=0.1)


def test_the_parts_add_up_to_the_sample_of_the_kl_exactly() -> None:
    posterior, _ = cloud(0.5, rows=20)
    z = posterior.sample(seed(1))
    for sequences in (0, 20, 5000):
        found = parts(crossed_of(posterior, z), sequences)
        log_prior = -0.5 * (z[0].square() + math.log(2 * math.pi)).sum(1)
        sampled = (posterior.log_prob(z)[0] - log_prior).mean()
        added = found.information + found.total_correlation + found.dimension_wise
        torch.testing.assert_close(added, sampled)


def test_a_batch_estimates_the_aggregate_of_all_without_bias() -> None:
    posterior, _ = cloud(0.6, rows=60)
    z = posterior.sample(seed(1))
    exact, exact_each = crossed_of(posterior, z).aggregate(60)
    # Row 0 with four others, drawn again and again.
    generator = torch.Generator().manual_seed(0)
    found, each, alone = [], [], []
    for _ in range(4000):
        rows = torch.cat([torch.zeros(1).long(), 1 + torch.randperm(59, generator=generator)[:4]])
        batch = crossed_of(posterior.select(rows), z[:, rows])
        whole, by_dimension = batch.aggregate(60)
        alone.append(batch.aggregate(0)[0][0].exp())
        found.append(whole[0].exp())
        each.append(by_dimension[0].exp())
    for estimates, truth in ((torch.stack(found), exact[0]), (torch.stack(each), exact_each[0])):
        error = estimates.std(0) / len(estimates) ** 0.5
        assert ((estimates.mean(0) - truth.exp()).abs() < 4 * error).all()
    # The batch taken for the whole is not: each z stands out in it.
    assert torch.stack(alone).mean() > 1.15 * exact[0].exp()


def test_one_sequence_is_finite() -> None:
    posterior, _ = cloud(0.0, rows=4)
    found = parts(crossed(posterior.select(slice(0, 1))), 100)
    assert float(found.information) == float(found.total_correlation) == 0.0
    assert math.isfinite(float(found.dimension_wise))


def test_the_weights_weigh_the_parts() -> None:
    model, batch = text_model(GRU), sentences()
    terms: Terms = model(batch, seed(1), crossed=True)
    assert terms.crossed is not None
    objective = TotalCorrelation(0.5, 7.0, 2.0, Constant(0.1)).build()
    objective.sequences = 100
    loss = objective(terms, 0.5)
    found = parts(terms.crossed, 100)
    penalty = 0.5 * found.information + 7 * found.total_correlation + 2 * found.dimension_wise
    torch.testing.assert_close(loss.total, terms.reconstruction.mean() + 0.1 * penalty)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_descent_makes_dimensions_independent_at_the_same_information() -> None:
    posterior, _ = cloud(0.9, rows=400)
    means = posterior.location.clone().requires_grad_()
    optimizer = torch.optim.Adam([means], lr=0.02)
    before = parts(crossed(posterior), 400)
    for step in range(150):
        optimizer.zero_grad()
        now = parts(crossed(DiagonalGaussian(means, posterior.log_variance), step), 400)
        # As much information is asked for as there was.
        (now.total_correlation + 5 * (now.information - before.information).abs()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = parts(crossed(DiagonalGaussian(means.detach(), posterior.log_variance)), 400)
    assert float(before.total_correlation) > 0.25
    assert float(after.total_correlation) < 0.4 * float(before.total_correlation)
    assert float(after.information) == pytest.approx(float(before.information), abs=0.1)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UserError, match="beta must be at least 0, got -1"):
        TotalCorrelation(beta=-1.0)
    with pytest.raises(UserError, match="objective:total-correlation and --latent none"):
        Experiment(objective=TotalCorrelation(), latent="none")
    for model in (Model(posterior=LowRank()), Model(posterior=Iaf()), Model(prior=Mixture())):
        with pytest.raises(
            UserError, match=r"total-correlation and model.(posterior|prior):.*by dimension"
        ):
            Experiment(objective=TotalCorrelation(), model=model)
    assert replace(TotalCorrelation(), beta=0.0).beta == 0.0
