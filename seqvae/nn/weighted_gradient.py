"""A gradient whose weight is known only once the loss is."""

from typing import Any, cast

import torch
from torch import Tensor


def weighted_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """`x` itself, but what flows back through it is weighted by what flows back through the second result.

    A loss that adds `(w * path).sum()`, with w >= 0 summing to 1 over S, stays what it is and multiplies the
    gradient of x by w. The weight travels by the backward pass, not by a hook that looks it up: a compiled
    forward pass has no tensor to hang a hook on. Without such a loss the gradient is the ordinary one.

    Args:
        x: shape [S, B, ...].

    Returns:
        x, and zeros named `path` above, shape [S, B].
    """
    return cast(tuple[Tensor, Tensor], _Weighted.apply(x))  # type: ignore[no-untyped-call]


class _Weighted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        return x.view_as(x), x.new_zeros(x.shape[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        gradient, weight = gradients
        # Both carry the factors of the loss (1 / B, gradient accumulation): one of them must go.
        total = weight.sum(0)
        share = torch.where(total == 0, 1.0, weight / torch.where(total == 0, 1.0, total))
        return gradient * share.view(*share.shape, *(1,) * (gradient.dim() - 2))
