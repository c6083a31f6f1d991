"""The rate that is held is that of the model in use, and every dimension keeps its share."""

import math

import pytest
import torch

from seqvae.objectives import RateTarget, Terms


def plant(beta: float) -> float:
    """KL of a made-up model in training, in nats: falls with the weight of the KL."""
    return 6.0 - 2.0 * math.log(beta)


@pytest.mark.parametrize("blur", [0.8, 1.0, 1.2])
def test_holds_the_rate_without_dropout(blur: float) -> None:
    """Dropout changes the KL by a factor; validations tell, and the dial goes by them."""
    objective = RateTarget(rate=8.0).build()
    for step in range(3000):
        objective.observe(plant(objective.beta))
        if step % 200 == 199:
            objective.calibrate(plant(objective.beta) / blur)
    assert plant(objective.beta) / blur == pytest.approx(8.0, rel=0.01)


def test_ignores_a_broken_validation() -> None:
    objective = RateTarget(rate=8.0).build()
    objective.calibrate(9.0)
    objective.observe(8.0)
    objective.calibrate(math.nan)
    assert objective.control.ratio == 1.0


def test_floor_frees_each_dimension_up_to_its_part() -> None:
    """Two dimensions, rate 8, floor 0.5: 2 nats each are free."""
    kl = torch.tensor([[1.0, 7.0]], requires_grad=True)
    objective = RateTarget(rate=8.0, floor=0.5, start=1.0).build()
    loss = objective(Terms(torch.zeros(1, 1), {"sequence": kl}), 0.0)
    assert loss.total.item() == 2.0 + 7.0
    assert float(loss.shown["kl"]) == 8.0
    (grad,) = torch.autograd.grad(loss.total, kl)
    assert grad.tolist() == [[0.0, 1.0]]
