"""The modified Bessel function of the first kind, as its logarithm: it neither overflows nor underflows."""

import torch
from torch import Tensor

GREATEST = 1000.0
"""Of the argument: `TERMS` are enough up to there."""
# The terms at x are largest around k = x / 2 and fall off within sqrt(x) / 2 of it: 500 + 12 * 16.
TERMS = 700


def log_bessel(order: float, x: Tensor) -> Tensor:
    """log I_order(x), differentiable in x.

    The power series (NIST DLMF 10.25.2) summed in log space. All terms are positive, so nothing cancels: exact to
    float64's rounding for every order, where ratios of `ive` are 0 / 0 from order 60 on.

    Args:
        order: at least 0.
        x: in (0, `GREATEST`], any shape, float64.
    """
    k = torch.arange(TERMS, dtype=torch.float64, device=x.device)
    constant = torch.lgamma(k + 1) + torch.lgamma(k + order + 1)
    return ((2 * k + order) * torch.log(x[..., None] / 2) - constant).logsumexp(-1)
