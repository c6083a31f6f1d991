"""The residual block of the speech networks: two convolutions, a norm, a condition."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.nn.conv import Conv, masked
from seqvae.nn.instance_norm import InstanceNorm

SLOPE = 0.1
"""Of the leaky rectifiers below zero."""
BRANCH = 0.3
"""Part of their usual size that a branch's last weights start at: a deep stack begins near to none."""


def rectified(x: Tensor) -> Tensor:
    """Leaky ReLU."""
    return F.leaky_relu(x, SLOPE)


class ResidualConv(nn.Module):
    """x + conv(act(film(norm(conv(act(x)))))), channels first.

    Args:
        width: channels.
        kernel: taps of both convolutions.
        norm: whether channels are normalised over time.
        causal: steps see their past only.
        dropout: probability that a value of the branch is dropped in training.
        condition: size of a vector that scales and shifts the channels (FiLM, Perez et al. 2018,
            arXiv 1709.07871), or None.
    """

    def __init__(
        self,
        width: int,
        kernel: int,
        *,
        norm: bool,
        causal: bool = False,
        dropout: float = 0.0,
        condition: int | None = None,
    ) -> None:
        super().__init__()
        self.first = Conv(width, width, kernel, causal=causal, bias=not norm)
        self.second = Conv(width, width, kernel, causal=causal)
        with torch.no_grad():
            self.second.weight.mul_(BRANCH)
        self.norm = InstanceNorm(causal=causal) if norm else None
        self.dropout = dropout
        self.film = None if condition is None else nn.Linear(condition, 2 * width)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """From [B, C, T] to the same; `mask` [B, 1, T], `condition` [B, D]; `x` is 0 at padding."""
        hidden = self.first(rectified(x))
        if self.norm is not None:
            hidden = self.norm(hidden, mask)
        if self.film is not None:
            assert condition is not None
            scale, shift = self.film(condition)[..., None].chunk(2, 1)
            hidden = torch.addcmul(shift, hidden, 1.0 + scale)
        hidden = masked(rectified(hidden), mask)
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return x + masked(self.second(hidden), mask)
