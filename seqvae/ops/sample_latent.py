"""The Gaussian latent without gradients, for inference: samples alone, and the KL of rows alone."""

import torch
from torch import Tensor

from seqvae.ops import gaussian_operators as operators
from seqvae.ops import gaussian_reference as reference
from seqvae.ops.gaussian_latent import check_seed, check_statistics, not_served
from seqvae.ops.gaussian_reference import Settings


def sample_latent(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    *,
    offset: Tensor | int = 0,
    samples: int | None = None,
    noise_scale: float = 1.0,
) -> Tensor:
    """Return the z of ``gaussian_latent``; arguments are as there.

    Args:
        mean: [..., D], or both statistics, [..., 2D].
        log_variance: [..., D], or None.
        seed: int64, one element.
        offset: stream under this seed.
        samples: None for one sample per row, or S for a leading axis of S samples.
        noise_scale: temperature: multiplies the standard deviation of z.

    Returns:
        [..., D] or [S, ..., D], in the dtype of ``mean``.

    Raises:
        ValueError: shapes, devices or ``samples`` do not fit, or a gradient is asked for.
        TypeError: the statistics are not float.
    """
    check_statistics(mean, log_variance)
    _refuse_gradients("sample_latent", mean, log_variance)
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    seed = check_seed("seed", seed, mean.device)
    stream = check_seed("offset", offset, mean.device) if isinstance(offset, Tensor) else None
    number = 0 if isinstance(offset, Tensor) else offset
    if not_served("sample_latent", mean, log_variance):
        settings = Settings(number, samples or 0, float(noise_scale), reduce="rows")
        return reference.forward(mean, log_variance, seed, stream, None, settings)[0]
    z: Tensor = operators.sample_latent(
        mean, log_variance, seed, stream, number, samples or 0, float(noise_scale)
    )
    return z


def kl_rows(mean: Tensor, log_variance: Tensor | None, free_bits: float = 0.0) -> Tensor:
    """Return the KL of every row to the standard normal, summed over dimensions.

    Args:
        mean: [..., D], or both statistics, [..., 2D].
        log_variance: [..., D], or None.
        free_bits: nats; a smaller KL counts as this.

    Returns:
        [...], float32, nats.

    Raises:
        ValueError: shapes or devices do not fit, or a gradient is asked for.
        TypeError: the statistics are not float.
    """
    check_statistics(mean, log_variance)
    _refuse_gradients("kl_rows", mean, log_variance)
    if not_served("kl_rows", mean, log_variance):
        pair = reference.halves(mean, log_variance)
        return reference.gaussian_kl(*pair).sum(-1).clamp_min(free_bits)
    kl: Tensor = operators.kl_rows(mean, log_variance, float(free_bits))
    return kl


def _refuse_gradients(name: str, mean: Tensor, log_variance: Tensor | None) -> None:
    if not torch.is_grad_enabled():
        return
    if mean.requires_grad or (log_variance is not None and log_variance.requires_grad):
        raise ValueError(f"{name} has no gradient: use gaussian_latent, or torch.no_grad()")
