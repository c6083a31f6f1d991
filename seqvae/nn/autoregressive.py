"""A network whose outputs for a dimension see only the dimensions before it (MADE)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Autoregressive(nn.Module):
    """Two numbers for each dimension of a vector, from the dimensions before it and a context.

    Germain et al. 2015, arXiv 1502.03509, eq. 8 to 12, with one hidden layer; the context reaches all of it.

    Args:
        dimension: size D of the vectors.
        width: hidden units.
        context: size of the context.
        reverse: the last dimension comes first.
    """

    order: Tensor
    mask_in: Tensor
    mask_out: Tensor

    def __init__(self, dimension: int, width: int, context: int, *, reverse: bool = False) -> None:
        super().__init__()
        order = torch.arange(dimension)
        if reverse:
            order = order.flip(0)
        place = torch.empty_like(order)
        place[order] = torch.arange(dimension)
        # Hidden unit h sees the dimensions at places up to its degree, and is seen by those behind.
        degree = torch.arange(width) % max(1, dimension - 1)
        mask_out = (place[:, None] > degree).repeat(2, 1)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("mask_in", (degree[:, None] >= place).float(), persistent=False)
        self.register_buffer("mask_out", mask_out.float(), persistent=False)
        self.inner = nn.Linear(dimension, width)
        self.context = nn.Linear(context, width)
        self.outer = nn.Linear(width, 2 * dimension)
        # What the first dimension is told, it can be told by the context alone.
        self.direct = nn.Linear(context, 2 * dimension, bias=False)
        with torch.no_grad():
            self.outer.weight *= 0.1
            self.direct.weight *= 0.1
            self.outer.bias.zero_()

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors [..., B, D] from vectors [..., B, D] and contexts [B, C]."""
        hidden = F.linear(x, self.inner.weight * self.mask_in, self.inner.bias)
        hidden = F.silu(hidden + self.context(context))
        found = F.linear(hidden, self.outer.weight * self.mask_out, self.outer.bias)
        first, second = (found + self.direct(context)).chunk(2, -1)
        return first, second
