"""Learned priors find what latents look like, and the likelihood is the better for it."""

import copy
import math

import pytest
import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.config import Model
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Flow, Mixture, Prior, PriorChoice, Standard, Vamp
from seqvae.priors.mixture import MixturePrior
from seqvae.priors.vamp import VampPrior
from tests.linear_gaussian import LinearGaussian

SEED = torch.tensor([5])


def fit(prior: Prior, data: Tensor, steps: int = 300, rate: float = 0.02) -> Prior:
    """The density of greatest likelihood of `data` [N, D]."""
    optimizer = torch.optim.Adam(prior.parameters(), rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        (-prior.log_prob(data).mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return prior.eval()


def two_clusters(size: int = 2000) -> Tensor:
    """A quarter of them around (-2, 1), the others around (2, -1), of deviations .5 and .3."""
    generator = torch.Generator().manual_seed(0)
    left = torch.rand(size, 1, generator=generator) < 0.25
    center = torch.where(left, torch.tensor([-2.0, 1.0]), torch.tensor([2.0, -1.0]))
    return center + torch.tensor([0.5, 0.3]) * torch.randn(size, 2, generator=generator)


def entropy_of_two_clusters() -> float:
    """Nats: the clusters do not overlap."""
    which = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    return which + math.log(2 * math.pi * math.e) + math.log(0.5 * 0.3)


def test_a_mixture_finds_two_clusters() -> None:
    torch.manual_seed(0)
    prior = Mixture(components=2).build(2)
    fit(prior, two_clusters())
    assert isinstance(prior, MixturePrior)
    log_weights, means, log_variances = (x.detach() for x in prior.components())
    order = means[:, 0].argsort()
    weights = log_weights.exp()[order].tolist()
    assert weights == pytest.approx([0.25, 0.75], abs=0.03)
    wanted = torch.tensor([[-2.0, 1.0], [2.0, -1.0]])
    torch.testing.assert_close(means[order], wanted, rtol=0, atol=0.1)
    deviations = torch.exp(0.5 * log_variances[order])
    torch.testing.assert_close(deviations, torch.tensor([0.5, 0.3]).expand(2, 2), rtol=0, atol=0.05)
    left = prior.sample(SEED, 4000)[:, 0] < 0
    assert float(left.float().mean()) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("config", [Mixture(components=8), Flow(layers=6, width=32)])
def test_a_learned_prior_reaches_the_entropy_of_two_clusters(config: PriorChoice) -> None:
    torch.manual_seed(0)
    data = two_clusters()
    prior = fit(config.build(2), data)
    cost = float(-prior.log_prob(data).detach().mean())
    standard = float(-Standard().build(2).log_prob(data).mean())
    # The standard prior pays 2.7 nats more than need be.
    assert standard > entropy_of_two_clusters() + 2.5
    assert cost < entropy_of_two_clusters() + 0.1


def test_a_flow_begins_as_the_standard_normal_and_goes_back_and_forth() -> None:
    prior = Flow(layers=5, width=16).build(7)
    z = prior.sample(SEED, 10)
    torch.testing.assert_close(z, Standard().build(7).sample(SEED, 10))
    torch.testing.assert_close(prior.log_prob(z), Standard().build(7).log_prob(z))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(
                0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
        noise = torch.randn(10, 7, generator=torch.Generator().manual_seed(2))
        z = prior.from_noise(noise)
        x, log_determinant = prior.affine.inverse(z, prior.affine.inverse_matrix)
        for coupling in reversed(prior.couplings):
            x, more = coupling.inverse(x)  # type: ignore[operator]
            log_determinant = log_determinant + more
    torch.testing.assert_close(x, noise, rtol=1e-4, atol=1e-4)
    # The determinant is that of the map, by finite steps of autograd.
    jacobian = torch.autograd.functional.jacobian(lambda e: prior.from_noise(e[None])[0], noise[0])  # type: ignore[no-untyped-call]
    wanted = -torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(log_determinant[0], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_flow_moves_every_dimension(dimension: int) -> None:
    prior = Flow(layers=6, width=8).build(dimension)
    moved = torch.stack([~coupling.keep for coupling in prior.couplings])  # type: ignore[operator]
    assert moved.any(0).all()
    assert dimension == 1 or not moved.all(1).any()


@pytest.mark.parametrize("config", [Mixture(components=4), Flow(layers=4, width=32)])
def test_nll_under_a_learned_prior_beats_the_standard_one_on_two_clusters(
    config: PriorChoice,
) -> None:
    # Sequences whose z is in two clusters, written by a decoder that is known: all is closed but p(z).
    truth = LinearGaussian([30.0, 20.0])
    generator = torch.Generator().manual_seed(1)
    z = two_clusters(400)
    x = z @ truth.weight.t() + truth.bias + 0.5 * torch.randn(400, 6, generator=generator)
    batch = truth.batch(400)
    batch.values[:, 1:] = x
    latent = truth.model.need_latent()
    posterior = truth.model.encode(batch)
    standard = importance_weighted(truth.model, batch, 64)
    torch.manual_seed(0)
    drawn = posterior.sample(SEED, 8).flatten(0, 1)
    latent.prior = fit(config.build(2), drawn.detach(), steps=200)
    learned = importance_weighted(truth.model, batch, 64)
    bound = elbo(truth.model, batch)
    assert bound.kl_dimensions.shape == (400, 1)
    assert float((standard - learned).mean()) > 1.5
    # The ELBO with one sample of KL and reconstruction is above it.
    assert float((bound.nll - learned).mean()) > 0
    # Forward's terms are those of the evaluation, K samples or one.
    terms = truth.model(batch, SEED, 16)
    assert terms.log_ratio is not None
    torch.testing.assert_close(terms.kl, -terms.log_ratio.mean(0), rtol=1e-4, atol=1e-4)


def test_pseudo_inputs_find_two_clusters() -> None:
    torch.manual_seed(0)
    prior = Vamp(components=8, pieces=3).build(2)
    # Who reads gives the mean of what it reads, and a deviation of .4 everywhere.
    prior.attach(
        2,
        lambda x, lengths: DiagonalGaussian(x.mean(1), torch.full_like(x[:, 0], 2 * math.log(0.4))),
    )
    data = two_clusters()
    fit(prior, data, rate=0.1)
    means = prior.components()[1].detach()
    left = means[:, 0] < 0
    assert 1 <= int(left.sum()) <= 3
    torch.testing.assert_close(means[left].mean(0), torch.tensor([-2.0, 1.0]), rtol=0, atol=0.15)
    torch.testing.assert_close(means[~left].mean(0), torch.tensor([2.0, -1.0]), rtol=0, atol=0.15)
    assert float(-prior.log_prob(data).detach().mean()) < entropy_of_two_clusters() + 0.3


def test_pseudo_inputs_are_read_by_the_model_itself() -> None:
    torch.manual_seed(0)
    model = Model(prior=Vamp(components=4, pieces=3)).build(50).eval()
    latent = model.need_latent()
    assert isinstance(latent.prior, VampPrior)
    # Its own weights are the pseudo-inputs alone: nothing is saved twice.
    assert [name for name, _ in latent.prior.named_parameters()] == ["inputs"]
    # A pseudo-input that is a text's embeddings has that text's posterior.
    values = torch.tensor([[2, 7, 3]])
    with torch.no_grad():
        latent.prior.inputs[1] = model.likelihood.embed(values)[0]
        posterior = model.encode(Batch(values, torch.tensor([3])))
        torch.testing.assert_close(latent.prior.components()[1][1], posterior.mean[0])
        # A copy has readers of its own: other weights, other components.
        other = copy.deepcopy(model)
        for parameter in other.need_latent().posterior.parameters():
            parameter.add_(1.0)
        other_prior = other.need_latent().prior
        assert isinstance(other_prior, VampPrior)
        assert not torch.allclose(other_prior.components()[1], latent.prior.components()[1])
        saved = model.state_dict()
        again = Model(prior=Vamp(components=4, pieces=3)).build(50).eval()
        again.load_state_dict(saved)
        z = again.need_latent().prior.sample(SEED, 5)
        torch.testing.assert_close(z, latent.prior.sample(SEED, 5))
    terms = model.train()(Batch(values, torch.tensor([3])), SEED)
    terms.kl.mean().backward()
    assert latent.prior.inputs.grad is not None and bool(latent.prior.inputs.grad.any())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixture(components=0), "components must be at least 1, got 0"),
        (lambda: Vamp(pieces=0), "pieces must be at least 1, got 0"),
        (lambda: Flow(layers=0), "layers must be at least 1, got 0"),
        (lambda: Flow(width=0), "width must be at least 1, got 0"),
    ],
)
def test_what_is_no_density_is_refused(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=words):
        make()
