"""The committed rate of a Gaussian posterior: a KL that no input and no weights can bring below it."""

from typing import Any

import pytest
import torch

from seqvae.config import Experiment, Model
from seqvae.config_speech import Speech
from seqvae.errors import UserError
from seqvae.objectives import RateTarget
from seqvae.posteriors import Gaussian
from seqvae.priors import Flow, Hierarchical, Mixture, Vamp

WIDTH = 6


@pytest.mark.parametrize("committed", [0.01, 1.0, 8.0, 15.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_the_kl_is_never_below_it(committed: float, scale: float) -> None:
    torch.manual_seed(0)
    network = Gaussian(4, committed=committed).build(WIDTH)
    with torch.no_grad():
        found = network(scale * torch.randn(500, WIDTH)).kl().sum(-1)
    assert (found >= committed * (1 - 1e-4)).all()
    assert found.isfinite().all()


@pytest.mark.parametrize("committed", [0.01, 1.0, 8.0, 15.0])
def test_the_bound_is_tight(committed: float) -> None:
    network = Gaussian(4, committed=committed).build(WIDTH)
    with torch.no_grad():
        network.statistics.weight.zero_()
        network.statistics.bias[4:] = 30.0  # as wide as they can be, and centred
        assert network(torch.randn(3, WIDTH)).kl().sum(-1) == pytest.approx(committed, rel=1e-3)


def test_it_holds_of_every_vector_of_a_level_of_frames() -> None:
    torch.manual_seed(0)
    network = Gaussian(3, committed=2.0).build(WIDTH)
    with torch.no_grad():
        posterior = network.frames(3 * torch.randn(2, 9, WIDTH), torch.tensor([9, 4]))
        assert (posterior.kl().sum(-1) >= torch.tensor([9 * 2.0, 4 * 2.0]) * (1 - 1e-4)).all()


def test_variances_at_the_bound_still_learn() -> None:
    network = Gaussian(4, committed=1.0).build(WIDTH)
    network(torch.randn(5, WIDTH)).log_variance.sum().backward()
    gradient = network.statistics.bias.grad
    assert gradient is not None and (gradient[4:] > 0.1).all()


def test_without_it_nothing_changes() -> None:
    torch.manual_seed(0)
    network, summary = Gaussian(4).build(WIDTH), 9 * torch.randn(50, WIDTH)
    with torch.no_grad():
        location, log_variance = network.statistics(summary).chunk(2, -1)
        posterior = network(summary)
    assert torch.equal(posterior.mean, location)
    assert torch.equal(posterior.log_variance, log_variance.clamp(-12, 4))


@pytest.mark.parametrize("committed", [0.0, -1.0, 21.0, float("nan")])
def test_a_rate_that_no_variance_gives_is_refused(committed: float) -> None:
    with pytest.raises(UserError, match=r"--model.posterior.committed must be above 0 and at most"):
        Gaussian(4, committed=committed)


@pytest.mark.parametrize("prior", [Mixture(), Vamp(), Flow()])
def test_a_learned_prior_would_undo_it(prior: Any) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=r"committed 1 and model.prior:.* do not go together"):
        Experiment(model=Model(prior=prior, posterior=Gaussian(committed=1.0)))
    with pytest.raises(UserError, match=r"style-posterior.committed 1 and model.style-prior:hier"):
        Speech(style_posterior=Gaussian(committed=1.0), style_prior=Hierarchical())
    with pytest.raises(UserError, match=r"committed 1 and the learned prior of each label"):
        Model(conditional=True, posterior=Gaussian(committed=1.0))


def test_a_wanted_rate_below_it_cannot_be_had() -> None:
    model = Model(posterior=Gaussian(committed=5.0))
    with pytest.raises(UserError, match=r"committed 5 and --objective.rate 4 do not go together"):
        Experiment(model=model, objective=RateTarget(rate=4.0))
    Experiment(model=model, objective=RateTarget(rate=8.0))
