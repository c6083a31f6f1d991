"""What flows back is weighted by what the loss gives the path."""

import pytest
import torch
from torch import Tensor

from seqvae.nn.weighted_gradient import weighted_gradient


def gradients(weight: Tensor | None, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """The loss's value and the gradient of x for the loss mean(x^3)."""
    x = torch.linspace(-1, 1, 24).reshape(3, 2, 4).requires_grad_()
    y, path = weighted_gradient(2 * x)
    loss = y.pow(3).mean() * scale
    if weight is not None:
        loss = loss + (weight * path).sum() * scale
    loss.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return loss.detach(), x.grad


@pytest.mark.parametrize("scale", [1.0, 0.01, -3.0])
def test_the_weight_multiplies_the_gradient_and_nothing_else(scale: float) -> None:
    weight = torch.tensor([[0.7, 0.0], [0.2, 0.0], [0.1, 1.0]])
    value, gradient = gradients(weight, scale)
    plain_value, plain = gradients(None, scale)
    assert value == plain_value
    torch.testing.assert_close(gradient, plain * weight[..., None])


def test_without_weights_the_gradient_is_the_ordinary_one() -> None:
    x = torch.linspace(-1, 1, 24).requires_grad_()
    (8 * x.pow(3)).mean().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    torch.testing.assert_close(gradients(None)[1].flatten(), x.grad)
    assert torch.isfinite(gradients(torch.zeros(3, 2))[1]).all()


def test_nothing_to_learn_is_no_error() -> None:
    x = torch.ones(3, 2, 4)
    y, path = weighted_gradient(x)
    assert torch.equal(y, x)
    assert not path.requires_grad


@pytest.mark.filterwarnings("default")  # torch's own
def test_a_compiled_forward_weighs_as_well() -> None:
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y, path = weighted_gradient(2 * x)
        return y.pow(3).mean(), path

    weight = torch.tensor([[0.7, 0.0], [0.2, 0.0], [0.1, 1.0]])
    x = torch.linspace(-1, 1, 24).reshape(3, 2, 4).requires_grad_()
    loss, path = torch.compile(forward, backend="aot_eager")(x)
    (loss + (weight * path).sum()).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, gradients(weight)[1])
