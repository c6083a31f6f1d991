"""The von Mises-Fisher posterior against closed forms, up to dimensions and concentrations that underflow."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.config import Model
from seqvae.errors import UserError
from seqvae.export.parts import export_parts
from seqvae.nn.bessel import GREATEST, log_bessel
from seqvae.posteriors import Vmf
from seqvae.posteriors.vmf import OnSphere
from seqvae.priors.sphere import SpherePrior

SEED = torch.tensor([5])
X = torch.tensor([1e-2, 0.5, 2.0, 30.0, 300.0, GREATEST], dtype=torch.float64)


def on_sphere(kappa: float, dimension: int, rows: int = 1) -> OnSphere:
    direction = F.normalize(
        torch.randn(rows, dimension, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    return OnSphere(direction, torch.full((rows,), kappa))


def test_bessel_functions_have_their_closed_forms() -> None:
    torch.testing.assert_close(log_bessel(0, X), torch.special.i0e(X).log() + X)
    torch.testing.assert_close(log_bessel(1, X), torch.special.i1e(X).log() + X)
    sinh = X + torch.log(-torch.expm1(-2 * X)) - math.log(2)
    torch.testing.assert_close(log_bessel(0.5, X), 0.5 * torch.log(2 / (math.pi * X)) + sinh)
    # I_(n - 1) - I_(n + 1) = 2 n / x I_n, at an order where they are below e^-500.
    for order in (15.0, 63.0, 200.0):
        middle = log_bessel(order, X)
        left = torch.exp(log_bessel(order - 1, X) - middle)
        right = torch.exp(log_bessel(order + 1, X) - middle)
        torch.testing.assert_close(left - right, 2 * order / X, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kappa", [0.05, 1.0, 20.0, 900.0])
def test_the_kl_in_three_dimensions_is_the_closed_form(kappa: float) -> None:
    coth = 1 / math.tanh(kappa)
    log_sinh = kappa + math.log(-math.expm1(-2 * kappa)) - math.log(2)
    wanted = kappa * (coth - 1 / kappa) + math.log(kappa) - log_sinh
    assert float(on_sphere(kappa, 3).kl()) == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def mean_cosine(kappa: Tensor, dimension: int) -> Tensor:
    half = dimension / 2
    return torch.exp(log_bessel(half, kappa) - log_bessel(half - 1, kappa))


@pytest.mark.parametrize(("kappa", "dimension"), [(50.0, 32), (3.0, 2), (1000.0, 8), (0.1, 16)])
def test_samples_lie_on_the_sphere_as_far_from_the_direction_as_they_should(
    kappa: float, dimension: int
) -> None:
    posterior = on_sphere(kappa, dimension)
    z = posterior.sample(SEED, 20_000)
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(20_000, 1))
    cosine = (z * posterior.direction).sum(-1)
    wanted = float(mean_cosine(torch.tensor(kappa, dtype=torch.float64), dimension))
    assert float(cosine.mean()) == pytest.approx(wanted, abs=5 * float(cosine.std()) / 20_000**0.5)
    # The gradient of the samples' mean cosine is that of the mean cosine.
    concentration = torch.tensor([kappa], requires_grad=True)
    z = OnSphere(posterior.direction, concentration).sample(SEED, 20_000)
    each = (z * posterior.direction).sum(-1).mean()
    (found,) = torch.autograd.grad(each, concentration)
    exact = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    (true,) = torch.autograd.grad(mean_cosine(exact, dimension), exact)
    assert float(found) == pytest.approx(float(true), rel=0.05)


@pytest.mark.parametrize("dimension", [2, 128, 512])
@pytest.mark.parametrize("kappa", [math.exp(-3), 1000.0])
def test_nothing_is_lost_at_the_ends(dimension: int, kappa: float) -> None:
    concentration = torch.tensor([kappa], requires_grad=True)
    posterior = OnSphere(on_sphere(kappa, dimension).direction, concentration)
    z, kl = posterior.sample_with_kl(SEED, 50)
    log_prob = posterior.log_prob(z)
    (kl.sum() + log_prob.sum() + z[..., 0].sum()).backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(kl).all() and torch.isfinite(log_prob).all()
    assert concentration.grad is not None and torch.isfinite(concentration.grad).all()
    assert float(kl.detach()) >= 0


def test_a_posterior_finds_the_direction_and_the_concentration_of_a_target() -> None:
    torch.manual_seed(0)
    target, kappa = F.normalize(torch.randn(8), dim=0), 25.0
    network = Vmf(8).build(4)
    summary, optimizer = torch.ones(1, 4), torch.optim.Adam(network.parameters(), 0.1)
    for step in range(100):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 100)
        posterior = network(summary)
        z, kl = posterior.sample_with_kl(torch.tensor([step]), 32)
        # KL(q || target), but for the target's constant.
        loss = kl.sum() - kappa * (z @ target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    posterior = network(summary)
    assert float((posterior.direction[0] @ target).detach()) > 0.998
    assert float(posterior.concentration.detach()) == pytest.approx(kappa, rel=0.1)


def test_a_model_on_the_sphere() -> None:
    model = Model(posterior=Vmf(6)).build(23).eval()
    latent = model.need_latent()
    assert isinstance(latent.prior, SpherePrior)
    drawn = latent.prior.sample(SEED, 20_000)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(20_000))
    assert drawn.mean(0).abs().max() < 5 / math.sqrt(6 * 20_000)
    with pytest.raises(UserError, match="no graph is written for the posterior Vmf"):
        export_parts(model)
    with pytest.raises(UserError, match="dimension must be at least 2, got 1"):
        Vmf(1)
