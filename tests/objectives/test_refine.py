"""Semi-amortised inference: what the steps find, what comes back to the encoder, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae import decoders, encoders
from seqvae.config import Experiment, Model
from seqvae.config_json import from_json, to_json
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.objectives import Elbo, Importance, RateTarget
from seqvae.objectives.refine import Refine, check_refined_run
from seqvae.ops import gaussian_kl
from seqvae.posteriors import Gaussian, Vmf
from seqvae.posteriors.gaussian import DiagonalGaussian
from tests.laws import noise
from tests.tiny import VOCABULARY, tiny_batch

SEED = torch.tensor([3])
NETWORKS = Model(
    encoder=encoders.Gru(width=8),
    posterior=Gaussian(4),
    decoder=decoders.Gru(width=8, dropout=0.0),
    max_length=16,
)


def of_a_gaussian(observed: Tensor, variance: float) -> Callable[[DiagonalGaussian], Tensor]:
    """The negative ELBO, but for a constant, of x = z + noise: E|x - z|^2 / 2 variance + KL, in closed form."""

    def cost(q: DiagonalGaussian) -> Tensor:
        apart = (observed - q.location).square() + q.log_variance.exp()
        return apart.sum(-1) / (2 * variance) + gaussian_kl(q.location, q.log_variance).sum(-1)

    return cost


def refined(steps: Refine, start: DiagonalGaussian, cost: Any) -> DiagonalGaussian:  # noqa: ANN401
    found = steps(start, cost)
    assert isinstance(found, DiagonalGaussian)
    return found


def test_the_steps_find_the_true_posterior_of_a_gaussian() -> None:
    variance, observed = 0.5, 2 * noise(3, 4)
    start = DiagonalGaussian(torch.zeros(3, 4), torch.zeros(3, 4))
    found = refined(Refine(200, 0.2), start, of_a_gaussian(observed, variance))
    torch.testing.assert_close(found.location, observed / (1 + variance), atol=1e-3, rtol=0)
    expected = torch.full((3, 4), variance / (1 + variance)).log()
    torch.testing.assert_close(found.log_variance, expected, atol=1e-3, rtol=0)


def test_a_step_is_the_gradient_and_no_longer_than_its_limit() -> None:
    start = DiagonalGaussian(torch.zeros(2, 4), torch.zeros(2, 4))
    observed = torch.stack([torch.full((4,), 0.1), torch.full((4,), 1e6)])
    found = refined(Refine(1, 0.1), start, of_a_gaussian(observed, 1.0))
    torch.testing.assert_close(found.location[0], torch.full((4,), 0.01))
    moved = torch.cat([found.location[1], found.log_variance[1]]).norm()
    torch.testing.assert_close(moved, torch.tensor(0.5))


def test_the_encoder_has_the_gradient_at_the_refined_posterior() -> None:
    location, log_variance = noise(3, 4).requires_grad_(), torch.zeros(3, 4, requires_grad=True)
    cost = of_a_gaussian(2 * noise(3, 4, of=1), 0.5)
    found = refined(Refine(3), DiagonalGaussian(location, log_variance), cost)
    torch.autograd.backward(cost(found).sum())
    at = DiagonalGaussian(
        found.location.detach().requires_grad_(), found.log_variance.detach().requires_grad_()
    )
    torch.autograd.backward(cost(at).sum())
    assert location.grad is not None
    torch.testing.assert_close(location.grad, at.location.grad)
    torch.testing.assert_close(log_variance.grad, at.log_variance.grad)


def test_a_row_that_overflows_stays() -> None:
    start = DiagonalGaussian(torch.zeros(2, 4), torch.zeros(2, 4))
    observed = torch.stack([torch.ones(4), torch.full((4,), float("inf"))])
    found = refined(Refine(2), start, of_a_gaussian(observed, 1.0))
    assert found.location[0].all()
    assert not found.location[1].any()


@pytest.mark.parametrize(
    "decoder",
    [NETWORKS.decoder, decoders.Transformer(layers=1, width=8, heads=2)],
    ids=["gru", "transformer"],
)
def test_evaluation_refines_each_sequence_as_if_alone(decoder: Any) -> None:  # noqa: ANN401
    torch.manual_seed(0)
    plain = replace(NETWORKS, decoder=decoder)
    model, steps = plain.build(VOCABULARY), replace(plain, refine=Refine(5)).build(VOCABULARY)
    with torch.no_grad():  # loud enough that z matters
        for parameter in model.parameters():
            parameter.mul_(3.0)
    steps.load_state_dict(model.state_dict())
    batch = tiny_batch(8)
    before, after = elbo(model, batch).nll, elbo(steps, batch).nll
    assert after.mean() < before.mean() - 0.1
    alone = batch.select(torch.tensor([5]))
    torch.testing.assert_close(elbo(steps, alone).nll, after[5:6], atol=1e-3, rtol=1e-4)
    assert importance_weighted(steps, batch, 4).isfinite().all()
    assert all(parameter.grad is None for parameter in steps.parameters())


def test_a_step_of_training_teaches_every_weight() -> None:
    torch.manual_seed(0)
    model = replace(NETWORKS, refine=Refine(2)).build(VOCABULARY).train()
    terms = model(tiny_batch(), SEED)
    (terms.reconstruction.mean() + terms.kl.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_what_does_not_go_together_is_refused() -> None:
    steps = replace(NETWORKS, refine=Refine(2))
    whole = Experiment(model=steps, objective=Elbo())
    assert from_json(Experiment, to_json(whole)) == whole
    Experiment(model=steps, objective=Importance(2))
    with pytest.raises(UserError, match=r"refine.steps 2 and objective:rate-target do not go"):
        Experiment(model=steps, objective=RateTarget())
    with pytest.raises(UserError, match=r"refine.steps 2 and model.posterior:vmf do not go"):
        Experiment(model=replace(steps, posterior=Vmf()), objective=Elbo())
    with pytest.raises(UserError, match=r"refine.steps 2 and --model.posterior.committed 1 do not"):
        Experiment(model=replace(steps, posterior=Gaussian(4, committed=1.0)), objective=Elbo())
    check_refined_run(Refine(2), {"--noise": False})
    with pytest.raises(UserError, match=r"refine.steps 2 and --noise do not go together"):
        check_refined_run(Refine(2), {"--latent none": False, "--noise": True})
    check_refined_run(Refine(), {"--noise": True})
    with pytest.raises(UserError, match=r"steps must be 0 \(off\) or more, got -1"):
        Refine(-1)
    with pytest.raises(UserError, match="rate must be above 0, got 0"):
        Refine(1, 0.0)
