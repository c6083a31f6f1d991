"""The Gaussian latent by the C++ library: CPU tensors, float32, [N, D] matrices with contiguous rows."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.kernels import native
from seqvae.kernels.native import request
from seqvae.ops.gaussian_reference import Outputs, Settings, counted


@functools.cache
def refusal() -> str | None:
    """Why the library cannot be used, or None."""
    if not native.available():
        return "the native library was not built"
    try:
        request.forward(0, 0, rows=0, dim=0, mean_stride=0, log_variance_stride=0)
    except UserError as error:
        return str(error)
    return None


def _stream(value: int, offset: Tensor | None) -> int:
    """Their sum as a signed 64-bit number, as tensors add."""
    total = value if offset is None else value + int(offset.item())
    return (total + (1 << 63)) % (1 << 64) - (1 << 63)


def _fields(
    mean: Tensor, log_variance: Tensor, mask: Tensor | None, settings: Settings
) -> dict[str, Any]:
    rows, dim = mean.shape
    return {
        "mean": mean.data_ptr(),
        "log_variance": log_variance.data_ptr(),
        "rows": rows,
        "dim": dim,
        "mean_stride": mean.stride(0),
        "log_variance_stride": log_variance.stride(0),
        "mask": 0 if mask is None else mask.data_ptr(),
        "low": settings.low,
        "high": settings.high,
        "threads": torch.get_num_threads(),
    }


def _noise(seed: Tensor, offset: Tensor | None, settings: Settings) -> dict[str, Any]:
    return {
        "seed": int(seed.item()),
        "offset": _stream(settings.offset, offset),
        "samples": max(settings.samples, 1),
        "noise_scale": settings.noise_scale,
        "rounds": settings.rounds,
    }


def _addresses(tensors: Mapping[str, Tensor | None]) -> dict[str, Any]:
    return {name: given.data_ptr() for name, given in tensors.items() if given is not None}


def forward(
    mean: Tensor,
    log_variance: Tensor,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    settings: Settings,
) -> Outputs:
    """``gaussian_reference.forward``; z is [S, N, D]."""
    rows, dim = mean.shape
    z = mean.new_empty((max(settings.samples, 1), rows, dim))
    made: dict[str, Tensor] = {}
    if settings.reduce == "none":
        made["kl"] = mean.new_empty((rows, dim))
    if settings.reduce in ("rows", "both"):
        made["kl_rows"] = mean.new_empty(rows)
    if settings.reduce in ("dimensions", "both"):
        made["kl_dimensions"] = mean.new_empty(dim)
    request.forward(
        **_fields(mean, log_variance, mask, settings),
        **_noise(seed, offset, settings),
        free_bits=settings.row_nats,
        z=z.data_ptr(),
        **_addresses(made),
    )
    groups = scale = None
    if "kl_dimensions" in made:
        groups, scale = _grouped(made["kl_dimensions"], mean, mask, settings)
    return z, made.get("kl_rows", made.get("kl")), groups, scale


def _grouped(
    means: Tensor, mean: Tensor, mask: Tensor | None, settings: Settings
) -> tuple[Tensor, Tensor]:
    share = counted(mean, mask)
    if settings.width > 1:
        means = means.reshape(-1, settings.width).sum(-1)
    if settings.nats == -math.inf:
        return means, share.expand(len(means) * settings.width).contiguous()
    scale = torch.where(means >= settings.nats, share, 0.0).repeat_interleave(settings.width)
    return means.clamp_min(settings.nats), scale


def backward(
    mean: Tensor,
    log_variance: Tensor,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    scale: Tensor | None,
    d_z: Tensor | None,
    d_kl: Tensor | None,
    d_groups: Tensor | None,
    d_mean: Tensor,
    d_log_variance: Tensor,
    settings: Settings,
) -> None:
    """``gaussian_reference.backward``, written into ``d_mean`` and ``d_log_variance``; gradients are contiguous."""
    fields = _fields(mean, log_variance, mask, settings)
    # What is made here must live until the call returns.
    gradients: dict[str, Tensor | None] = {"d_z": d_z}
    if settings.reduce == "none":
        gradients["d_kl"] = d_kl
    elif d_kl is not None:
        gradients["d_kl_rows"] = _gated(d_kl, fields, settings)
    if d_groups is not None and scale is not None:
        # The library divides by the number of rows that count.
        gradients["d_kl_dimensions"] = d_groups.repeat_interleave(settings.width) * (scale != 0)
    request.backward(
        d_mean=d_mean.data_ptr(),
        d_log_variance=d_log_variance.data_ptr(),
        d_mean_stride=d_mean.stride(0),
        d_log_variance_stride=d_log_variance.stride(0),
        **fields,
        **_noise(seed, offset, settings),
        **_addresses(gradients),
    )


def _gated(d_kl: Tensor, fields: dict[str, Any], settings: Settings) -> Tensor:
    if settings.row_nats == -math.inf:
        return d_kl
    kl = torch.empty_like(d_kl)
    request.forward(**fields, kl_rows=kl.data_ptr())
    return torch.where(kl >= settings.row_nats, d_kl, 0.0)


def sample_latent(
    mean: Tensor, log_variance: Tensor, seed: Tensor, offset: Tensor | None, settings: Settings
) -> Tensor:
    """The z of ``forward``."""
    z = mean.new_empty((max(settings.samples, 1), *mean.shape))
    request.forward(
        **_fields(mean, log_variance, None, settings),
        **_noise(seed, offset, settings),
        z=z.data_ptr(),
    )
    return z


def kl_rows(mean: Tensor, log_variance: Tensor, row_nats: float) -> Tensor:
    """The KL of each row, [N]."""
    kl = mean.new_empty(len(mean))
    fields = _fields(mean, log_variance, None, Settings())
    request.forward(**fields, free_bits=row_nats, kl_rows=kl.data_ptr())
    return kl
