"""Instance normalisation over time that padding has no part in, and its causal form.

Ulyanov et al. 2016 (arXiv 1607.08022). Each channel of each sequence loses its mean and scale over
time: of speech, much of what makes the speaker (Chou et al. 2019, arXiv 1904.05742).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
PRIOR_STEPS = 4


class InstanceNorm(nn.Module):
    """(x - mean) / standard deviation by channel, without learned scale or shift.

    Args:
        causal: statistics at step t are those of the steps <= t.
    """

    def __init__(self, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise `x` [B, C, T] over the steps where `mask` [B, 1, T] is true; others become 0."""
        if self.causal:
            return cumulative_norm(x, mask)
        if mask is None:
            if not torch.compiler.is_exporting() and x.shape[2] < 2:
                return torch.zeros_like(x)  # one step is its own mean; torch refuses it
            return F.instance_norm(x, eps=EPSILON)
        wide = torch.where(mask, x.float(), 0.0)
        count = mask.sum(2, keepdim=True).clamp_min(1)
        mean = wide.sum(2, keepdim=True) / count
        centred = torch.where(mask, wide - mean, 0.0)
        variance = centred.square().sum(2, keepdim=True) / count
        return (centred * torch.rsqrt(variance + EPSILON)).to(x.dtype)


def cumulative_norm(x: Tensor, mask: Tensor | None) -> Tensor:
    """Normalise `x` [B, C, T] by the statistics of its steps so far."""
    wide = x.double() if mask is None else torch.where(mask, x.double(), 0.0)
    steps = torch.arange(1, x.shape[2] + 1, device=x.device)
    out = normalised(wide, wide.cumsum(2), wide.square().cumsum(2), steps).to(x.dtype)
    return out if mask is None else torch.where(mask, out, 0.0)


def normalised(x: Tensor, first: Tensor, second: Tensor, steps: Tensor) -> Tensor:
    """(x - mean) / deviation, from sums over the steps so far, all in float64.

    The variance is a difference of large numbers. To the steps so far come `PRIOR_STEPS` of mean 0 and
    variance 1, without which the first step would always become 0 and the second 1 or -1.

    Args:
        x: [B, C, T].
        first: sums of x up to each step, [B, C, T].
        second: sums of x squared.
        steps: how many steps that are, [T].
    """
    count = steps + PRIOR_STEPS
    mean = first / count
    variance = (second + PRIOR_STEPS) / count - mean.square()
    return (x - mean) * torch.rsqrt(variance.clamp_min(EPSILON))
