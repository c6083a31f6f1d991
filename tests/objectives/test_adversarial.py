"""The adversarial objective: two losses, of which each teaches its own player."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from seqvae.config import Experiment, Model
from seqvae.errors import UserError
from seqvae.objectives import Adversarial, Latents
from seqvae.objectives.adversarial import adversarial_losses, discriminator
from seqvae.objectives.pairs import check_processes
from seqvae.posteriors import Gaussian, Iaf, Ladder, LowRank, PosteriorChoice, Vmf
from seqvae.priors import Flow, Mixture, PriorChoice, Standard, Vamp
from tests.laws import noise, ready, seed, terms_of
from tests.objectives.test_importance import sentences, text_model
from tests.training.runs import GRU


def latents(shift: float = 0.0, rows: int = 512) -> Latents:
    posterior = (noise(1, rows, 2) + shift).requires_grad_()
    return Latents(posterior, noise(1, rows, 2, of=1), torch.zeros(rows, 2))


def test_each_loss_teaches_its_own_player() -> None:
    torch.manual_seed(0)
    network, both = discriminator(2, 16), latents()
    told_apart, opposed = adversarial_losses(network, both)
    told_apart.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert both.posterior.grad is not None and (both.posterior.grad != 0).any()
    assert all(p.grad is None for p in network.parameters())
    both.posterior.grad = None
    opposed.backward()  # type: ignore[no-untyped-call]
    assert both.posterior.grad is None
    assert all(p.grad is not None and (p.grad != 0).any() for p in network.parameters())


def test_where_nothing_can_be_told_apart_the_losses_are_known() -> None:
    network = discriminator(2, 16)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    told_apart, opposed = adversarial_losses(network, latents())
    assert float(told_apart.detach()) == pytest.approx(math.log(2))
    assert float(opposed.detach()) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_discriminator_learns_the_ratio_of_densities(shift: float) -> None:
    """Its log-odds tend to log p(z) / q(z) (Goodfellow et al. 2014, proposition 1): here shift^2 - shift (a + b)."""
    torch.manual_seed(0)
    network, both = discriminator(2, 32), latents(shift, 4000)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        adversarial_losses(network, both)[1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    z = noise(200, 2, of=7)
    exact = shift**2 - shift * z.sum(1)
    found = network(z)[:, 0].detach()
    assert float((found - exact).abs().mean()) < 0.15


def test_it_is_an_autoencoder_with_a_judge() -> None:
    objective, terms = ready(Adversarial(weight=7.0, log_variance=0.5)), terms_of(1)
    loss = objective(terms, 0.5)
    assert terms.latents is not None and terms.latents.log_variances is not None
    wanted = terms.reconstruction.mean() + 7.0 * torch.as_tensor(loss.shown["told_apart"])
    wanted = wanted + 0.5 * terms.latents.log_variances.abs().sum(1).mean()
    assert float(loss.total.detach()) == pytest.approx(float(wanted.detach()))
    assert loss.opposed is not None
    assert float(loss.opposed.detach()) == pytest.approx(float(loss.shown["discriminator"]))


MEMBERS: list[tuple[PosteriorChoice, PriorChoice]] = [
    (Gaussian(2), Mixture(3)),
    (LowRank(2, rank=1), Flow(2, 16)),
    (Iaf(2, width=16), Standard()),
    (Vmf(2), Standard()),
    (Ladder(2), Standard()),
]


@pytest.mark.parametrize(
    ("posterior", "prior"), MEMBERS, ids=lambda member: type(member).__name__.lower()
)
def test_it_takes_what_can_be_sampled(posterior: PosteriorChoice, prior: PriorChoice) -> None:
    model = text_model(replace(GRU, posterior=posterior, prior=prior))
    loss = ready(Adversarial())(model(sentences(), seed(1), aggregate=True), 0.5)
    assert loss.opposed is not None
    (loss.total + loss.opposed).backward()  # type: ignore[no-untyped-call]
    reached = [p.grad for p in model.need_latent().encoder.parameters()]
    assert all(each is not None and torch.isfinite(each).all() for each in reached)
    # The prior is what is aimed at, and does not move.
    assert all(p.grad is None for p in model.need_latent().prior.parameters())


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match=r"objective:adversarial and model.prior:vamp .* density"):
        Experiment(objective=Adversarial(), model=Model(prior=Vamp()))
    with pytest.raises(UserError, match=r"objective:adversarial and --latent none"):
        Experiment(objective=Adversarial(), latent="none")
    with pytest.raises(UserError, match=r"adversarial with model.prior:flow trains in one process"):
        check_processes(Adversarial(), Flow(), 2)
    check_processes(Adversarial(), Standard(), 2)


@pytest.mark.parametrize("wrong", [{"weight": 0.0}, {"width": 0}, {"learning_rate": -1.0}])
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))} must be above 0"):
        Adversarial(**wrong)
