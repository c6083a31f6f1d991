"""Laws of likelihoods of values from 0 to 1."""

from typing import Any

import torch
from torch import Tensor

from seqvae.likelihoods.bernoulli import BernoulliLikelihood
from tests.laws import WIDTH, build, close, gradients_reach_everything, law, noise
from tests.laws_frames import LAWS, LENGTHS, MELS, STEPS, behind, reloaded

# With the laws below registered: import it from here.
__all__ = ["LAWS"]


def unit_likelihood(config: Any, bins: int = MELS) -> BernoulliLikelihood:  # noqa: ANN401
    found: BernoulliLikelihood = build(
        config, WIDTH, bins, torch.linspace(0.0, 0.9, bins).numpy(), None
    )
    return found


def fractions(*shape: int) -> Tensor:
    return torch.sigmoid(noise(*shape, of=1))


@law("unit_likelihood")
def all_outcomes_of_binary_values_have_probability_1(config: Any) -> None:  # noqa: ANN401
    likelihood = unit_likelihood(config, 4)
    if likelihood.continuous:
        return  # the probability of a point is 0; see the next law
    outcomes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)[:, None]
    for state in 5 * noise(3, 1, 1, WIDTH):
        hidden = state.expand(16, 1, WIDTH)
        probability = (-likelihood.nll(hidden, outcomes).double()).exp()
        close(probability.sum(), torch.ones((), dtype=torch.float64))
        close((probability[:, None] * outcomes[:, 0]).sum(0).float(), likelihood.mean(state)[0, 0])


@law("unit_likelihood")
def fractions_have_a_density_where_it_is_continuous(config: Any) -> None:  # noqa: ANN401
    likelihood = unit_likelihood(config, 1)
    points = 20_000
    values = ((torch.arange(points) + 0.5) / points)[:, None, None]
    for size in (0.0, 0.01, 1.0, 10.0):  # both branches of the normaliser
        for state in size * noise(4, 1, 1, WIDTH):
            hidden = state.expand(points, 1, WIDTH)
            density = (-likelihood.nll(hidden, values).double()).exp() / points
            assert bool((density.sum() - 1).abs() < 1e-4) is likelihood.continuous
            if likelihood.continuous:
                mean = (density * values[:, 0, 0]).sum().float()
                close(mean, likelihood.mean(state)[0, 0, 0], atol=1e-4)


@law("unit_likelihood")
def nll_of_fractions_is_the_sum_of_real_steps_and_float32(config: Any) -> None:  # noqa: ANN401
    likelihood = unit_likelihood(config)
    hidden, values = noise(3, STEPS, WIDTH), fractions(3, STEPS, MELS)
    steps = likelihood.nll_steps(hidden, values, LENGTHS)
    beyond = behind(LENGTHS, STEPS)
    assert steps.shape == (3, STEPS)
    assert (steps[beyond[..., 0]] == 0).all()
    close(likelihood.nll(hidden, values, LENGTHS), steps.sum(1))
    close(likelihood.nll(hidden[2:], values[2:]), steps[2:].sum(1))
    other = [x.where(~beyond, 1e6) for x in (hidden, values)]
    assert torch.equal(likelihood.nll_steps(other[0], other[1], LENGTHS), steps)
    coarse = likelihood.bfloat16().nll(hidden.bfloat16(), values, LENGTHS)
    assert steps.dtype == coarse.dtype == torch.float32


@law("unit_likelihood")
def certain_bins_are_finite_and_learn(config: Any) -> None:  # noqa: ANN401
    likelihood = unit_likelihood(config)
    hidden = (1000.0 * noise(3, STEPS, WIDTH)).requires_grad_()
    total = likelihood.nll(hidden, fractions(3, STEPS, MELS).round(), LENGTHS).sum()
    assert torch.isfinite(total)
    gradients_reach_everything(likelihood, total)
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all()
    silent = torch.zeros(1, 1, WIDTH, requires_grad=True)
    likelihood.nll(silent, torch.zeros(1, 1, MELS)).sum().backward()  # type: ignore[no-untyped-call]
    assert silent.grad is not None and torch.isfinite(silent.grad).all()


@law("unit_likelihood")
def unit_likelihood_starts_from_the_means_and_is_loaded(config: Any) -> None:  # noqa: ANN401
    likelihood = unit_likelihood(config)
    start = torch.sigmoid(likelihood.logits(torch.zeros(1, 1, WIDTH)))[0, 0]
    close(start, likelihood.mean_of_bins.clamp(1e-3, 1 - 1e-3))
    again = reloaded(likelihood, config.build(WIDTH, MELS))
    values, hidden = fractions(3, STEPS, MELS), noise(3, STEPS, WIDTH)
    assert torch.equal(again.nll(hidden, values), likelihood.nll(hidden, values))  # type: ignore[operator]
    assert torch.equal(again.embed(values), likelihood.embed(values))  # type: ignore[operator]


@law("unit_likelihood")
def draws_have_the_mean_that_is_given(config: Any) -> None:  # noqa: ANN401
    likelihood = unit_likelihood(config)
    points = 20_000
    uniform = (torch.arange(points) + 0.5) / points
    for size in (0.0, 0.01, 1.0, 30.0):
        hidden = (size * noise(1, 1, WIDTH)).expand(points, 1, -1)
        drawn = likelihood.quantile(hidden, uniform[:, None, None].expand(-1, 1, MELS))
        assert ((drawn >= 0) & (drawn <= 1)).all() and (drawn.diff(dim=0) >= -1e-6).all()
        close(drawn.mean(0), likelihood.mean(hidden)[0], atol=1e-4)
