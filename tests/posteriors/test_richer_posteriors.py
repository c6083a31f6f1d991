"""Posteriors that are more than a diagonal Gaussian, where the true one is known and correlated."""

import json
import math

import pytest
import torch
from torch import Tensor

from seqvae.config import Experiment, Model
from seqvae.config_json import from_json, to_json
from seqvae.errors import UserError
from seqvae.evaluation.collapse import Aggregate, mutual_information, mutual_information_of
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.export.parts import export_parts
from seqvae.nn.autoregressive import Autoregressive
from seqvae.posteriors import Gaussian, Iaf, LowRank, PosteriorChoice
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.posteriors.iaf import GatedStep
from seqvae.priors import Flow, PriorChoice, Standard
from tests.tiny import tiny_batch

SEED = torch.tensor([5])
# x = W z + noise of deviation .5: both latent dimensions write the same, so given x one knows their sum.
WEIGHT = torch.tensor([[1.0, 1.0], [1.0, 0.6]])
NOISE = 0.5
PRECISION = torch.eye(2) + WEIGHT.t() @ WEIGHT / NOISE**2


def data(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(size, 2, generator=generator)
    return z @ WEIGHT.t() + NOISE * torch.randn(size, 2, generator=generator)


def nll(x: Tensor) -> float:
    """-log p(x) in nats."""
    exact = torch.distributions.MultivariateNormal(
        torch.zeros(2), WEIGHT @ WEIGHT.t() + NOISE**2 * torch.eye(2)
    )
    return float(-exact.log_prob(x).mean())  # type: ignore[no-untyped-call]


def negative_elbo(config: PosteriorChoice, steps: int = 250) -> tuple[float, float]:
    """-ELBO of the best posterior network of this kind, and its standard error."""
    torch.manual_seed(0)
    network, x = config.build(2), data(128)
    optimizer = torch.optim.Adam(network.parameters(), 0.05)

    def cost(seed: int, samples: int) -> Tensor:
        z, kl = network(x).sample_with_kl(torch.tensor([seed]), samples)
        squared = (x - z @ WEIGHT.t()).square().sum(-1)
        written = 0.5 * squared / NOISE**2 + math.log(2 * math.pi * NOISE**2)
        total: Tensor = written.mean(0) + kl.sum(1)
        return total

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        cost(step, 2).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        each = cost(-1, 200)
    return float(each.mean()), float(each.std() / len(x) ** 0.5)


def test_correlated_posteriors_close_the_gap_that_a_diagonal_one_must_leave() -> None:
    exact = nll(data(128))
    # The best diagonal Gaussian has the true precision's diagonal: its KL to the truth in closed form.
    gap = 0.5 * float(PRECISION.diagonal().log().sum() - torch.logdet(PRECISION))
    assert gap > 0.4
    diagonal, _ = negative_elbo(Gaussian(2))
    low_rank, _ = negative_elbo(LowRank(2, rank=1))
    bent, _ = negative_elbo(Iaf(2, steps=2, width=16))
    assert diagonal - exact == pytest.approx(gap, abs=0.04)
    assert -0.04 < low_rank - exact < 0.1
    # The flow is no Gaussian's rotation, but its first dimension tells the second.
    assert -0.04 < bent - exact < 0.1


@pytest.mark.parametrize("reverse", [False, True])
def test_a_dimension_sees_only_those_before_it(reverse: bool) -> None:
    torch.manual_seed(0)
    net = Autoregressive(5, 24, 3, reverse=reverse)
    context = torch.randn(1, 3)
    for number in range(2):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, n=number: net(x[None], context)[n][0],
            torch.randn(5),
        )  # type: ignore[no-untyped-call]
        seen = jacobian != 0
        wanted = torch.ones(5, 5).tril(-1).bool()
        assert torch.equal(seen, wanted.flip(0, 1) if reverse else wanted)
    # The context reaches every dimension, the first one too.
    changed = net(torch.zeros(1, 5), context + 1.0)[0] != net(torch.zeros(1, 5), context)[0]
    assert changed.all()


def test_a_step_of_the_flow_has_its_determinant_and_its_inverse() -> None:
    torch.manual_seed(0)
    step = GatedStep(4, 16, 3, reverse=True)
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.mul_(3.0)
    context, x = torch.randn(2, 3), torch.randn(7, 2, 4)
    y, log_determinant = step(x, context)
    back, same = step.inverse(y, context)
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(same, log_determinant, rtol=1e-4, atol=1e-4)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: step(v[None, None], context[:1])[0][0, 0], x[0, 0]
    )  # type: ignore[no-untyped-call]
    torch.testing.assert_close(torch.logdet(jacobian), log_determinant[0, 0], rtol=1e-4, atol=1e-4)


def test_gates_are_finite_whatever_they_are_told() -> None:
    torch.manual_seed(0)
    step = GatedStep(4, 16, 3, reverse=False)
    with torch.no_grad():
        for value in (-1e4, 1e4):
            step.net.outer.bias.fill_(value)
            y, log_determinant = step(torch.randn(5, 2, 4), torch.randn(2, 3))
            assert torch.isfinite(y).all()
            assert torch.isfinite(log_determinant).all()


def test_shares_of_the_dimensions_are_never_negative_and_sum_to_the_kl() -> None:
    torch.manual_seed(0)
    network = LowRank(6, rank=3).build(8)
    with torch.no_grad():
        network.statistics.weight *= 4.0
    posterior = network(torch.randn(20, 8))
    exact = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(posterior.location, scale_tril=posterior.factor),
        torch.distributions.MultivariateNormal(torch.zeros(6), torch.eye(6)),
    )
    torch.testing.assert_close(posterior.kl().sum(1), exact, rtol=1e-4, atol=1e-4)
    assert (posterior.kl() >= -1e-6).all()
    # The covariance is the diagonal and the shared directions.
    assert (torch.linalg.eigvalsh(posterior.factor @ posterior.factor.mT) > 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LowRank(rank=0), "posterior low-rank: rank must be at least 1, got 0"),
        (lambda: Iaf(steps=0), "posterior iaf: steps must be at least 1, got 0"),
    ],
)
def test_what_is_no_density_is_refused(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=words):
        make()


@pytest.mark.parametrize("config", [LowRank(4, rank=2), Iaf(4, width=8)])
@pytest.mark.parametrize("prior", [Standard(), Flow(2, 8)])
def test_a_model_of_them_is_measured_like_any_other(
    config: PosteriorChoice, prior: PriorChoice
) -> None:
    torch.manual_seed(0)
    experiment = Experiment(model=Model(posterior=config, prior=prior))
    model, batch = experiment.text.build(23).eval(), tiny_batch(6)
    with torch.no_grad():
        for parameter in model.need_latent().posterior.parameters():
            parameter.mul_(3.0)
        terms = model(batch, SEED, 40)
    bound, tight = elbo(model, batch), importance_weighted(model, batch, 40)
    assert terms.log_ratio is not None
    # The KL, and what the samples say of it.
    error = 5 * terms.log_ratio.std(0) / 40**0.5 + 1e-3
    assert ((terms.kl + terms.log_ratio.mean(0)).abs() < error).all()
    assert float(tight.mean()) < float((bound.reconstruction + terms.kl).mean())
    aggregate = Aggregate()
    aggregate.add(bound.posterior, bound.kl_dimensions)  # type: ignore[arg-type]
    found = aggregate.diagnose()
    assert 0.5 < found.mi <= found.mi_cap == math.log(6)
    assert found.dimension == 4
    # Saved and loaded, and named in the file.
    assert from_json(Experiment, json.loads(json.dumps(to_json(experiment)))) == experiment
    again = experiment.text.build(23).eval()
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.encode(batch).mean, model.encode(batch).mean)


def test_mutual_information_is_the_same_by_both_ways() -> None:
    torch.manual_seed(1)
    means, log_variances = 2 * torch.randn(300, 3), torch.randn(300, 3) - 2
    posterior = DiagonalGaussian(means, log_variances)
    wanted, _ = mutual_information(means, log_variances)
    found, cap = mutual_information_of(posterior)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert cap == math.log(300)


@pytest.mark.parametrize("config", [LowRank(4, rank=2), Iaf(4, width=8)])
def test_export_refuses_by_name(config: PosteriorChoice) -> None:
    with pytest.raises(
        UserError, match=f"no graph is written for the posterior {type(config).__name__}"
    ):
        export_parts(Model(posterior=config).build(23).eval())
