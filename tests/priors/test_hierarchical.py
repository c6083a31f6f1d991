import math

import pytest
import torch

from seqvae.errors import UserError
from seqvae.posteriors import FrameGaussian, Gaussian
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Hierarchical, Standard
from seqvae.priors.hierarchical import HierarchicalPrior

SEED = torch.tensor([3])
ITEMS = torch.tensor([2, 0, 2])


def prior_of(items: int = 4, **options: float) -> HierarchicalPrior:
    torch.manual_seed(0)
    prior = Hierarchical(**options).build(2, items)
    with torch.no_grad():
        prior.table.weight.mul_(10.0)
    return prior


def posterior_of() -> DiagonalGaussian:
    torch.manual_seed(1)
    return DiagonalGaussian(torch.randn(3, 2), torch.randn(3, 2) - 1)


def log_normal(z: torch.Tensor, mean: torch.Tensor, variance: float) -> torch.Tensor:
    return -0.5 * ((z - mean).square() / variance + math.log(2 * math.pi * variance)).sum(-1)


def test_kl_of_a_known_recording_is_that_of_samples_and_its_share() -> None:
    prior, posterior = prior_of(deviation=0.7, crops=4.0), posterior_of()
    z, kl = prior.sample_posterior(posterior, SEED, 40_000, items=ITEMS)
    center = prior.table(ITEMS).detach()
    ratio = posterior.log_prob(z) - log_normal(z, center, 0.49)
    share = 0.5 * center.square().sum(1) / 4.0
    error = 5 * ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) + share - kl.sum(1)).abs() < error).all()
    torch.testing.assert_close(kl, prior.kl(posterior, ITEMS))
    # The samples are the posterior's own, whatever it is measured against.
    torch.testing.assert_close(z, posterior.sample(SEED, 40_000), rtol=1e-4, atol=1e-4)
    unknown, _ = prior.sample_posterior(posterior, SEED, 40_000)
    torch.testing.assert_close(z, unknown, rtol=1e-4, atol=1e-4)


def test_an_unknown_recording_is_the_average_over_all_that_may_be() -> None:
    prior, z = prior_of(deviation=0.5), torch.tensor([[0.3, -1.0]])
    centers = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(2))
    density = log_normal(z, centers, 0.25).exp().mean()
    assert float(prior.log_prob(z).exp()) == pytest.approx(float(density), rel=0.02)


def test_the_vector_of_a_recording_is_its_posterior_mean() -> None:
    prior = prior_of(deviation=0.8)
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(3)) + 1.0
    center = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([center], line_search_fn="strong_wolfe")

    def cost() -> torch.Tensor:
        optimiser.zero_grad()
        total = -(log_normal(z, center, 0.64).sum() + log_normal(center, torch.zeros(2), 1.0))
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(cost)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(prior.center(z), center.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(Standard().build(2).center(z), z.mean(0))


def test_the_penalty_is_the_nats_to_say_which_recording_it_is() -> None:
    prior, posterior = prior_of(deviation=0.5, discriminative=3.0), posterior_of()
    penalty = prior.penalty(posterior, ITEMS)
    assert penalty is not None
    rows = torch.stack([log_normal(posterior.mean, row, 0.25) for row in prior.table.weight], 1)
    expected = -3.0 * rows.log_softmax(1)[torch.arange(3), ITEMS]
    torch.testing.assert_close(penalty, expected)
    assert prior.penalty(posterior, None) is None
    assert prior_of(discriminative=0.0).penalty(posterior, ITEMS) is None


def test_gradients_of_equal_vectors_are_finite() -> None:
    prior, posterior = prior_of(), posterior_of()
    with torch.no_grad():
        prior.table.weight.copy_(posterior.mean[0].expand(4, 2))
    location = posterior.location.requires_grad_()
    penalty = prior.penalty(DiagonalGaussian(location, posterior.log_variance), ITEMS)
    assert penalty is not None
    penalty.sum().backward()  # type: ignore[no-untyped-call]
    assert location.grad is not None and torch.isfinite(location.grad).all()
    assert prior.table.weight.grad is not None and torch.isfinite(prior.table.weight.grad).all()


def test_recordings_are_separated_and_their_crops_drawn_together() -> None:
    torch.manual_seed(0)
    truth = torch.randn(6, 4)
    items = torch.arange(6).repeat_interleave(8)
    seen = truth[items] + 0.3 * torch.randn(48, 4)
    network = Gaussian(4).build(4)
    prior = Hierarchical(deviation=0.5, discriminative=1.0).build(4, 6)
    optimiser = torch.optim.Adam([*network.parameters(), *prior.parameters()], 0.05)
    for step in range(150):
        posterior = network(seen)
        z, kl = prior.sample_posterior(posterior, torch.tensor([step]), 1, items=items)
        penalty = prior.penalty(posterior, items)
        assert penalty is not None
        cost = 10 * (z[0] - seen).square().sum(1) + kl.sum(1) + penalty
        optimiser.zero_grad()
        cost.mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    table = prior.table.weight.detach()
    closest = torch.cdist(network(seen).mean, table).argmin(1)
    assert (closest == items).float().mean() > 0.95
    # A recording's vector is what would be inferred from its crops.
    for item in range(6):
        inferred = prior.center(network(seen[items == item]).mean)
        assert (inferred - table[item]).norm() < 0.5 * table.norm(dim=1).mean()


def test_what_is_no_density_is_refused() -> None:
    for field, value in (("deviation", 0.0), ("crops", 0.5), ("discriminative", -1.0)):
        with pytest.raises(UserError, match=field):
            Hierarchical(**{field: value})
    frames = FrameGaussian(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    with pytest.raises(TypeError, match="FrameGaussian"):
        prior_of().kl(frames)
