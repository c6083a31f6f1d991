"""Maximum mean discrepancy, held to what is exact, and the objectives made of it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae.config import Experiment, Model
from seqvae.errors import UserError
from seqvae.evaluation.prior_match import prior_mmd
from seqvae.objectives import Elbo, Info, Latents, Mmd, Terms, TextObjectiveChoice
from seqvae.objectives.latents import latents_of
from seqvae.objectives.mmd import SCALES, Kernel, inverse_multiquadratic, mmd
from seqvae.objectives.pairs import check_processes
from seqvae.posteriors import Gaussian, Iaf, Ladder, LowRank, PosteriorChoice, Vmf
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Flow, Mixture, PriorChoice, Standard, Vamp
from seqvae.priors.standard import StandardPrior
from tests.laws import noise, seed
from tests.objectives.test_importance import sentences, text_model
from tests.training.runs import GRU

DIMENSION = 3
WIDTH = 1.5
# Shift and standard deviation of x, whose y is the standard normal.
CASES = [(0.0, 1.0), (0.7, 1.0), (0.0, 0.5), (-1.0, 2.0)]


def gaussian(squared: Tensor, dimension: int) -> Tensor:
    return torch.exp(-squared / (2 * WIDTH**2))


def expected_gaussian(shift: float, variance: float) -> float:
    """E exp(-|x - y|^2 / (2 h^2)) where x - y is N(shift, variance) in each dimension."""
    spread = WIDTH**2 + variance
    each = math.sqrt(WIDTH**2 / spread) * math.exp(-(shift**2) / (2 * spread))
    return each**DIMENSION


def expected_multiquadratic(shift: float, variance: float) -> float:
    """The same of C / (C + |x - y|^2) = int_0^inf exp(-t (1 + |x - y|^2 / C)) dt, by quadrature."""
    total = 0.0
    t = np.linspace(0.0, 40.0, 400_001)
    for scale in SCALES:
        constant = 2 * DIMENSION * scale
        spread = 1 + 2 * t * variance / constant
        each = spread**-0.5 * np.exp(-t * shift**2 / (constant * spread))
        total += float(np.trapezoid(np.exp(-t) * each**DIMENSION, t))
    return total


KERNELS: dict[str, tuple[Kernel, Any]] = {
    "gaussian": (gaussian, expected_gaussian),
    "multiquadratic": (inverse_multiquadratic, expected_multiquadratic),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("shift", "deviation"), CASES)
def test_its_mean_is_the_discrepancy_of_two_gaussians(
    name: str, shift: float, deviation: float
) -> None:
    kernel, expected = KERNELS[name]
    exact = expected(0.0, 2 * deviation**2) + expected(0.0, 2.0)
    exact -= 2 * expected(shift, deviation**2 + 1)
    found = torch.stack(
        [
            mmd(
                shift + deviation * noise(20, DIMENSION, of=of),
                noise(30, DIMENSION, of=of + 5000),
                kernel,
            )
            for of in range(800)
        ]
    )
    assert abs(float(found.mean()) - exact) < 4 * float(found.std()) / 800**0.5
    # Nothing is clipped: where both are the same it must be below zero as often as above.
    assert (exact < 1e-6) == (shift == 0.0 and deviation == 1.0)
    assert exact > 1e-6 or 0.3 < float((found < 0).float().mean()) < 0.7


def test_it_is_the_sum_over_pairs() -> None:
    x, y = noise(7, 2).numpy().astype(np.float64), 0.5 + noise(5, 2, of=1).numpy()

    def kernel(a: Any, b: Any) -> float:  # noqa: ANN401
        squared = float(((a - b) ** 2).sum())
        return sum(4 * scale / (4 * scale + squared) for scale in SCALES)

    wanted = sum(kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 42
    wanted += sum(kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 20
    wanted -= 2 * sum(kernel(a, b) for a in x for b in y) / 35
    assert float(mmd(torch.tensor(x).float(), torch.tensor(y).float())) == pytest.approx(
        wanted, abs=1e-5
    )


def test_gradients_are_finite_where_vectors_coincide_and_far_away() -> None:
    for x in (torch.zeros(4, 2), 1e6 * noise(4, 2), noise(1, 2)):
        x.requires_grad_()
        value = mmd(x, noise(4, 2, of=1)) + 0 * x.sum()
        value.backward()  # type: ignore[no-untyped-call]
        assert torch.isfinite(value) and x.grad is not None and torch.isfinite(x.grad).all()


def test_noise_of_the_prior_is_not_that_of_the_posterior() -> None:
    """Each posterior is the prior: over many seeds the discrepancy is 0, above and below it."""
    posterior, prior = (
        DiagonalGaussian(torch.zeros(64, 2), torch.zeros(64, 2)),
        StandardPrior(2),
    )
    found = torch.tensor([prior_mmd(posterior, prior, value) for value in range(200)])
    assert abs(float(found.mean())) < 4 * float(found.std()) / 200**0.5
    latents = latents_of(posterior, prior, posterior.sample(seed(3), 2), seed(3))
    assert latents.prior.shape == latents.posterior.shape == (2, 64, 2)
    both = torch.stack([latents.prior.flatten(), latents.posterior.flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 4 / 256**0.5


def terms(distance: float) -> Terms:
    drawn = noise(1, 50, 2)
    latents = Latents(drawn + distance, noise(1, 50, 2, of=1), torch.full((50, 2), -0.5))
    return Terms(torch.full((1, 50), 20.0), {"sequence": torch.full((50, 2), 3.0)}, latents=latents)


def test_losses_are_what_their_papers_say() -> None:
    apart = terms(1.0)
    assert apart.latents is not None
    distance = float(mmd(apart.latents.posterior[0], apart.latents.prior[0]))
    assert distance > 0.1
    wasserstein = Mmd(weight=30.0, log_variance=0.1).build()(apart, 0.5)
    assert float(wasserstein.total) == pytest.approx(20 + 30 * distance + 0.1 * 2 * 0.5)
    info = Info(alpha=0.7, weight=30.0).build()(apart, 0.5)
    assert float(info.total) == pytest.approx(20 + 0.3 * 6 + 29.7 * distance)
    # At alpha 0 and weight 1 it is the ELBO; at alpha 1 the Wasserstein autoencoder.
    plain = Info(alpha=0.0, weight=1.0).build()(apart, 0.5).total
    assert float(plain) == float(Elbo().build()(apart, 0.5).total)
    alone = Info(alpha=1.0, weight=30.0).build()(apart, 0.5).total
    assert float(alone) == pytest.approx(float(Mmd(30.0, 0.0).build()(apart, 0.5).total))


MEMBERS: list[tuple[PosteriorChoice, PriorChoice]] = [
    (Gaussian(4), Standard()),
    (Gaussian(4), Mixture(3)),
    (Gaussian(4), Vamp(3, 3)),
    (LowRank(4, rank=2), Flow(2, 16)),
    (Iaf(4, width=16), Standard()),
    (Ladder(4), Standard()),
]


@pytest.mark.parametrize(
    ("posterior", "prior"), MEMBERS, ids=lambda member: type(member).__name__.lower()
)
@pytest.mark.parametrize("objective", [Mmd(), Info()], ids=["mmd", "info"])
def test_they_take_every_prior_that_can_be_sampled(
    objective: TextObjectiveChoice, posterior: PosteriorChoice, prior: PriorChoice
) -> None:
    model = text_model(replace(GRU, posterior=posterior, prior=prior))
    loss = objective.build()(model(sentences(), seed(1), aggregate=True), 0.5)
    loss.total.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(each).all() for each in gradients)
    reached = [p.grad is not None for p in model.need_latent().encoder.parameters()]
    assert all(reached)
    assert math.isfinite(float(loss.shown["mmd"]))


@pytest.mark.parametrize("objective", [Mmd(), Info()], ids=["mmd", "info"])
def test_what_makes_no_sense_is_refused(objective: Any) -> None:  # noqa: ANN401
    name = type(objective).__name__.lower()
    with pytest.raises(UserError, match=f"objective:{name} and model.posterior:vmf .* unit sphere"):
        Experiment(objective=objective, model=Model(posterior=Vmf()))
    with pytest.raises(UserError, match=f"objective:{name} and --latent none"):
        Experiment(objective=objective, latent="none")


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="weight must be above 0"):
        Mmd(weight=0.0)
    with pytest.raises(UserError, match=r"alpha must be at most 1, got 1\.5"):
        Info(alpha=1.5)
    with pytest.raises(UserError, match=r"alpha \+ weight must be at least 1"):
        Info(alpha=0.5, weight=0.2)


def test_a_learned_prior_is_not_trained_in_many_processes() -> None:
    with pytest.raises(UserError, match=r"objective:mmd with model.prior:mixture .* one process"):
        check_processes(Mmd(), Mixture(), 2)
    check_processes(Mmd(), Mixture(), 1)
    check_processes(Mmd(), Standard(), 2)
    check_processes(Info(), Flow(), 2)
