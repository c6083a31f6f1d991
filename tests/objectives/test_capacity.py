"""The KL costs its distance to a capacity, on both sides of it."""

import pytest
import torch

from seqvae.config import Experiment
from seqvae.errors import UserError
from seqvae.objectives import Capacity, Terms
from seqvae.schedules import Constant, Linear


def terms(nats: float) -> Terms:
    """Two sequences that differ by 2 nats around a mean."""
    kl = torch.tensor([[nats / 2 - 0.5, nats / 2 - 0.5], [nats / 2 + 0.5, nats / 2 + 0.5]])
    return Terms(torch.full((1, 2), 20.0), {"sequence": kl.requires_grad_()})


@pytest.mark.parametrize(("nats", "pull"), [(3.0, -5.0), (7.0, 5.0)])
def test_it_pulls_the_mean_to_the_capacity_from_both_sides(nats: float, pull: float) -> None:
    given = terms(nats)
    loss = Capacity(5.0, Constant(4.5)).build()(given, 0.5)
    assert float(loss.total.detach()) == pytest.approx(20 + 5 * abs(nats - 4.5))
    loss.total.backward()  # type: ignore[no-untyped-call]
    gradient = given.kl_dimensions["sequence"].grad
    assert gradient is not None
    # Of the mean: one sequence may pay more where another pays less.
    torch.testing.assert_close(gradient, torch.full((2, 2), pull / 2))


def test_the_capacity_grows() -> None:
    objective = Capacity(2.0, Linear(0.0, 10.0, 0.0, 0.5)).build()
    shown = [objective(terms(5.0), at).shown["capacity"] for at in (0.0, 0.25, 0.5, 1.0)]
    assert shown == pytest.approx([0.0, 5.0, 10.0, 10.0])


def test_the_best_weights_are_those_at_the_whole_capacity() -> None:
    objective = Capacity(10.0).build()
    early = objective.criterion({"reconstruction": 30.0, "kl": 0.1})
    late = objective.criterion({"reconstruction": 24.0, "kl": 7.9})
    # Their bounds say the opposite.
    assert late == pytest.approx(25.0)
    assert late < early


def test_nonsense_is_refused() -> None:
    with pytest.raises(UserError, match="gamma must be above 0, got 0"):
        Capacity(gamma=0.0)
    with pytest.raises(UserError, match="objective:capacity and --latent none"):
        Experiment(objective=Capacity(), latent="none")
