"""Sample a diagonal Gaussian posterior and measure its KL to the standard normal, in one call.

Kingma and Welling, "Auto-encoding variational Bayes", 2014: z = mean + exp(log_variance / 2) * noise,
and appendix B, KL(N(mean, variance) || N(0, 1)) = (variance + mean^2 - 1 - log variance) / 2.
"""

import torch
from torch import Tensor

from seqvae.ops.philox import normal


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) in nats per dimension, float32.

    Args:
        mean: [..., D], any float dtype.
        log_variance: [..., D].
    """
    mean, log_variance = mean.float(), log_variance.float()
    # expm1 keeps near-prior dimensions exact, where exp(v) - 1 - v would cancel.
    return 0.5 * (mean.square() + (torch.expm1(log_variance) - log_variance))


def gaussian_latent(
    mean: Tensor,
    log_variance: Tensor,
    seed: Tensor,
    *,
    offset: Tensor | int = 0,
    samples: int | None = None,
    noise_scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return posterior samples and their KL to the standard normal, differentiable in both inputs.

    The noise is ``normal(seed, z.shape, offset)``: the same on every device and in every pass.

    Args:
        mean: [..., D], any float dtype.
        log_variance: [..., D], same shape.
        seed: int64, one element.
        offset: stream under this seed; give each step and latent level its own.
        samples: None for one sample per row, or S for a leading axis of S samples.
        noise_scale: multiplies the standard deviation of z; the KL stays that of the posterior.

    Returns:
        z: [..., D], or [S, ..., D] with ``samples=S``, in the dtype of ``mean``.
        kl: [..., D] float32, nats per dimension.

    Raises:
        ValueError: the two shapes differ, or ``samples`` is below 1.
    """
    if mean.shape != log_variance.shape:
        raise ValueError(
            f"mean {tuple(mean.shape)} and log_variance {tuple(log_variance.shape)} differ"
        )
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    shape = mean.shape if samples is None else (samples, *mean.shape)
    noise = normal(seed, shape, offset, mean.device)
    # float32 at least: bfloat16 standard deviations would be off by 0.4 %.
    precision = torch.promote_types(mean.dtype, torch.float32)
    deviation = torch.exp(0.5 * log_variance.to(precision)) * noise_scale
    z = (mean.to(precision) + deviation * noise.to(precision)).to(mean.dtype)
    return z, gaussian_kl(mean, log_variance)
