"""What the Gaussian latent computes, written with torch: differentiable, in any precision, on any device.

Kingma and Welling, "Auto-encoding variational Bayes", 2014: z = mean + exp(log_variance / 2) * noise, and appendix B,
KL(N(mean, variance) || N(0, 1)) = (variance + mean^2 - 1 - log variance) / 2.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqvae.ops.philox import normal

# z, KL of elements or rows, KL of dimensions or groups, what reaches a dimension of the gradient of the latter.
Outputs = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]


class Settings(NamedTuple):
    """Everything but tensors, as the operators take it.

    Attributes:
        offset: stream under the seed; a tensor may add to it.
        samples: S, or 0 for one sample without an axis of its own.
        noise_scale: multiplies the standard deviation of z.
        reduce: "none", "rows", "dimensions" or "both".
        low: the log-variance is clamped from below, minus infinity: not at all.
        high: the log-variance is clamped from above, infinity: not at all.
        row_nats: the KL of each row is clamped from below.
        nats: the KL of each group of dimensions is clamped from below.
        width: dimensions in a group.
        rounds: of Philox.
    """

    offset: int = 0
    samples: int = 0
    noise_scale: float = 1.0
    reduce: str = "none"
    low: float = -math.inf
    high: float = math.inf
    row_nats: float = -math.inf
    nats: float = -math.inf
    width: int = 1
    rounds: int = 10

    @property
    def clamps(self) -> bool:
        """Whether there is a clamp of the log-variance."""
        return self.low > -math.inf or self.high < math.inf


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) in nats per dimension, float32.

    Args:
        mean: [..., D], any float dtype.
        log_variance: [..., D].
    """
    return divergence(mean.float(), log_variance.float())


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``gaussian_kl`` in the dtype of its arguments."""
    # expm1 keeps near-prior dimensions exact, where exp(v) - 1 - v would cancel.
    return 0.5 * (mean.square() + (torch.expm1(log_variance) - log_variance))


def halves(mean: Tensor, log_variance: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, of which the first may hold both, [..., 2D]."""
    if log_variance is not None:
        return mean, log_variance
    dim = mean.shape[-1] // 2
    return mean[..., :dim], mean[..., dim:]


def drawn(
    mean: Tensor, seed: Tensor, offset: Tensor | None, settings: Settings, precision: torch.dtype
) -> Tensor:
    """The noise of z, shaped as it."""
    shape = (settings.samples, *mean.shape) if settings.samples else mean.shape
    stream = settings.offset if offset is None else offset.reshape(()) + settings.offset
    noise = normal(seed, shape, stream, mean.device, settings.rounds)
    return noise.to(precision) * settings.noise_scale


def counted(mean: Tensor, mask: Tensor | None) -> Tensor:
    """1 / number of rows that count, or 0; float32."""
    if mask is None:
        rows = math.prod(mean.shape[:-1])
        return torch.full((), 1.0 / rows if rows else 0.0, device=mean.device)
    count = mask.sum()
    return torch.where(count > 0, 1.0 / count.clamp_min(1), 0.0).float()


def forward(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    settings: Settings,
    kl_dtype: torch.dtype = torch.float32,
) -> Outputs:
    """The definition of ``gaussian_latent``.

    Args:
        mean: [..., D], or both statistics, [..., 2D].
        log_variance: [..., D], or None.
        seed: int64, one element.
        offset: int64, one element, added to that of the settings.
        mask: bool [...], true where a row counts.
        settings: see there.
        kl_dtype: precision of the KL.
    """
    mean, log_variance = halves(mean, log_variance)
    if mask is not None:
        # NaN times 0 is NaN, so rows that do not count are replaced.
        mean = torch.where(mask[..., None], mean, 0.0)
        log_variance = torch.where(mask[..., None], log_variance, 0.0)
    bounded = log_variance
    if settings.clamps:
        bounded = log_variance.clamp(settings.low, settings.high)
    precision = torch.promote_types(mean.dtype, torch.float32)
    noise = drawn(mean, seed, offset, settings, precision)
    z = mean.to(precision) + torch.exp(0.5 * bounded.to(precision)) * noise
    kl = divergence(mean.to(kl_dtype), bounded.to(kl_dtype))
    if mask is not None:
        z = torch.where(mask[..., None], z, 0.0)
        kl = torch.where(mask[..., None], kl, 0.0)
    z = z.to(mean.dtype)
    if settings.reduce == "none":
        return z, kl, None, None
    rows = groups = scale = None
    if settings.reduce != "dimensions":
        rows = kl.sum(-1).clamp_min(settings.row_nats)
        if mask is not None:
            rows = torch.where(mask, rows, 0.0)
    if settings.reduce != "rows":
        share = counted(mean, mask)
        dim = kl.shape[-1]
        means = kl.reshape(math.prod(kl.shape[:-1]), dim).sum(0) * share
        sums = means.reshape(dim // settings.width, settings.width).sum(-1)
        groups = sums.clamp_min(settings.nats)
        passes = (sums >= settings.nats) | (settings.nats == -math.inf)
        scale = torch.where(passes, share, 0.0).repeat_interleave(settings.width)
    return z, rows, groups, scale


def backward(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    scale: Tensor | None,
    d_z: Tensor | None,
    d_kl: Tensor | None,
    d_groups: Tensor | None,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Gradients of ``forward`` in closed form, themselves differentiable in the statistics and the gradients.

    Args:
        mean: [..., D], or both statistics, [..., 2D].
        log_variance: [..., D], or None.
        seed: int64, one element.
        offset: int64, one element.
        mask: bool [...].
        scale: [D] from ``forward``.
        d_z: shaped as z; None for zeros, as below.
        d_kl: [..., D] or [...].
        d_groups: [D / width].
        settings: as in ``forward``.
    """
    mean, given = halves(mean, log_variance)
    dtypes = mean.dtype, given.dtype
    if mask is not None:
        mean = torch.where(mask[..., None], mean, 0.0)
        given = torch.where(mask[..., None], given, 0.0)
    precision = torch.promote_types(mean.dtype, torch.float32)
    mean, given = mean.to(precision), given.to(precision)
    bounded = given.clamp(settings.low, settings.high) if settings.clamps else given
    of_mean, of_log_variance = torch.zeros_like(mean), torch.zeros_like(mean)
    if d_z is not None:
        noise = drawn(mean, seed, offset, settings, precision)
        of_z, of_noise = d_z.to(precision), d_z.to(precision) * noise
        if settings.samples:
            of_z, of_noise = of_z.sum(0), of_noise.sum(0)
        of_mean = of_mean + of_z
        of_log_variance = of_noise * torch.exp(0.5 * bounded)
    of_kl: Tensor | None = None
    if d_kl is not None and settings.reduce == "none":
        of_kl = d_kl
    elif d_kl is not None:
        of_kl = d_kl
        if settings.row_nats > -math.inf:
            of_kl = torch.where(divergence(mean, bounded).sum(-1) >= settings.row_nats, d_kl, 0.0)
        of_kl = of_kl[..., None]
    if d_groups is not None and scale is not None:
        of_lane = d_groups.repeat_interleave(settings.width) * scale
        of_kl = of_lane if of_kl is None else of_kl + of_lane
    if of_kl is not None:
        of_kl = of_kl.to(precision)
        of_mean = of_mean + of_kl * mean
        of_log_variance = of_log_variance + of_kl * torch.expm1(bounded)
    of_log_variance = 0.5 * of_log_variance
    if settings.clamps:
        # The rule of torch.clamp: at the borders the gradient passes, at NaN it does not.
        passes = (given >= settings.low) & (given <= settings.high)
        of_log_variance = torch.where(passes, of_log_variance, 0.0)
    if mask is not None:
        of_mean = torch.where(mask[..., None], of_mean, 0.0)
        of_log_variance = torch.where(mask[..., None], of_log_variance, 0.0)
    if log_variance is None:
        both = torch.cat([of_mean, of_log_variance], -1).to(dtypes[0])
        return both, both.new_empty(0)
    return of_mean.to(dtypes[0]), of_log_variance.to(dtypes[1])
