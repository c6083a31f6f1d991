"""Which path computes the Gaussian latent, and the call of it.

The functions take statistics with any leading dimensions; kernels see matrices.
"""

import contextlib
import functools
import math
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from seqvae.ops import gaussian_reference as reference
from seqvae.ops.dispatch import Path, forced, record
from seqvae.ops.gaussian_reference import Outputs, Settings, halves

# Plans of seqvae.kernels.gaussian_launch, which is imported only where there is Triton.
Plans = tuple[Any, ...]
Planner = Callable[[ModuleType, Tensor, Tensor, int], Plans]


@functools.cache
def _kernels() -> ModuleType | None:
    try:
        from seqvae.kernels import gaussian_launch
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        return None
    return gaussian_launch


@functools.cache
def _architecture(device: torch.device) -> int:
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def _refusal(mean: Tensor, log_variance: Tensor) -> str | None:
    """Why the Triton kernels do not serve these, or None."""
    kernels = _kernels()
    if kernels is None:
        return "triton is not installed"
    # float64 is for gradient checks in the interpreter.
    known = mean.dtype in kernels.DTYPES and (mean.is_cpu or mean.dtype != torch.float64)
    if not known or log_variance.dtype != mean.dtype:
        return f"no kernel for {mean.dtype} and {log_variance.dtype}"
    if mean.shape[-1] > kernels.WIDEST:
        return f"no kernel for {mean.shape[-1]} dimensions, at most {kernels.WIDEST}"
    return None


def _choose_on_cpu(mean: Tensor, log_variance: Tensor, asked: Path | None) -> tuple[Path, str]:
    if asked not in (None, "native"):
        return "reference", f"there is no {asked} for the CPU"
    if mean.dtype != torch.float32 or log_variance.dtype != torch.float32:
        return "reference", f"CPU, {mean.dtype}"
    from seqvae.ops import gaussian_native

    refusal = gaussian_native.refusal()
    return ("native", "CPU, float32") if refusal is None else ("reference", refusal)


def _choose(mean: Tensor, log_variance: Tensor, planner: Planner) -> tuple[Path, str, Plans]:
    """The path, why, and what to start if it is one of Triton's."""
    asked, device = forced(), mean.device
    if asked == "reference":
        return "reference", "asked for", ()
    if mean.numel() == 0:
        return "reference", "there is nothing to compute", ()
    interpreted = asked == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
    if mean.is_cpu and not interpreted:
        return (*_choose_on_cpu(mean, log_variance, asked), ())
    if asked not in (None, "triton", "aot"):
        return "reference", f"there is no {asked} for {device.type}", ()
    if refusal := _refusal(mean, log_variance):
        return "reference", refusal, ()
    kernels = _kernels()
    assert kernels is not None
    arch = _architecture(device)
    try:
        plans = planner(kernels, mean, log_variance, arch)
    except KeyError as error:
        return "reference", str(error.args[0]), ()
    if not mean.is_cpu and asked != "triton" and kernels.is_compiled(plans, arch):
        return "aot", f"compiled for sm_{arch}", plans
    if asked == "aot":
        return "reference", f"no library with this kernel for sm_{arch}", ()
    return "triton", "interpreted" if interpreted else f"sm_{arch}", plans


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Kernels start on the current device."""
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        return torch.cuda.device(device)
    return contextlib.nullcontext()


def _rows(x: Tensor) -> Tensor:
    """[..., D] as [N, D] with contiguous rows, copied only if no row stride can say it."""
    dim = x.shape[-1]
    rows = x if x.dim() == 2 else x.reshape(math.prod(x.shape[:-1]), dim)
    return rows if dim <= 1 or rows.stride(-1) == 1 else rows.contiguous()


def _matrices(mean: Tensor, log_variance: Tensor | None) -> tuple[Tensor, Tensor]:
    if log_variance is None:
        return halves(_rows(mean), None)
    return _rows(mean), _rows(log_variance)


def _mask(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.reshape(-1).contiguous()


def forward(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    settings: Settings,
) -> Outputs:
    """``gaussian_reference.forward`` by the best path."""

    def planner(kernels: ModuleType, mean: Tensor, log_variance: Tensor, arch: int) -> Plans:
        kl = {"none": "elements", "rows": "rows"}.get(settings.reduce, "dimensions")
        switches = {"KL": kl, "CLAMP": settings.clamps, "MANY": settings.samples > 1}
        main = kernels.plan(
            kernels.FORWARD, arch, mean, log_variance, **switches, ROUNDS=settings.rounds
        )
        return (main, kernels.means_plan(settings.width, arch)) if kl == "dimensions" else (main,)

    pair = _matrices(mean, log_variance)
    path, reason, plans = _choose(*pair, planner)
    record("gaussian_latent", path, reason)
    if path == "reference":
        z, kl, groups, scale = reference.forward(mean, log_variance, seed, offset, mask, settings)
        return z.contiguous(), None if kl is None else kl.contiguous(), groups, scale
    if path == "native":
        from seqvae.ops import gaussian_native

        outputs = gaussian_native.forward(*pair, seed, offset, _mask(mask), settings)
    else:
        kernels = _kernels()
        assert kernels is not None
        with _on(mean.device):
            outputs = kernels.forward(
                path,
                plans,
                *(*pair, seed, offset, _mask(mask)),
                offset_value=settings.offset,
                samples=max(settings.samples, 1),
                noise_scale=settings.noise_scale,
                clamp=(settings.low, settings.high),
                rows_wanted=settings.reduce == "both",
                row_nats=settings.row_nats,
                nats=settings.nats,
                width=settings.width,
            )
    z, kl, groups, scale = outputs
    shape = (*mean.shape[:-1], pair[0].shape[1])
    if kl is not None:
        kl = kl.reshape(shape if settings.reduce == "none" else shape[:-1])
    return z.reshape((settings.samples, *shape) if settings.samples else shape), kl, groups, scale


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
    """``gaussian_reference.backward`` by the best path."""
    elements = settings.reduce == "none"
    many = settings.samples > 1 and d_z is not None

    def planner(kernels: ModuleType, mean: Tensor, log_variance: Tensor, arch: int) -> Plans:
        free = not elements and d_kl is not None and settings.row_nats > -math.inf
        kl = "elements" if elements else "reduced"
        main = kernels.plan(
            *(kernels.BACKWARD, arch, mean, log_variance, *written),
            KL="none" if d_kl is None and d_groups is None else kl,
            FREE=free,
            CLAMP=settings.clamps,
            MANY=many,
            ROUNDS=settings.rounds,
        )
        return (main,)

    pair = _matrices(mean, log_variance)
    rows, dim = pair[0].shape
    if log_variance is None:
        results = (mean.new_empty(mean.shape), mean.new_empty(0))
        written = halves(results[0].view(rows, 2 * dim), None)
    else:
        results = (mean.new_empty(mean.shape), log_variance.new_empty(mean.shape))
        written = (results[0].view(rows, dim), results[1].view(rows, dim))
    path, reason, plans = _choose(*pair, planner)
    record("gaussian_latent_backward", path, reason)
    if path == "reference":
        of_mean, of_log_variance = reference.backward(
            mean, log_variance, seed, offset, mask, scale, d_z, d_kl, d_groups, settings
        )
        return of_mean.contiguous(), of_log_variance.contiguous()
    d_z, d_kl, d_groups = (
        None if given is None else given.contiguous() for given in (d_z, d_kl, d_groups)
    )
    arguments = (*pair, seed, offset, _mask(mask))
    if path == "native":
        from seqvae.ops import gaussian_native

        gaussian_native.backward(*arguments, scale, d_z, d_kl, d_groups, *written, settings)
        return results
    kernels = _kernels()
    assert kernels is not None
    with _on(mean.device):
        kernels.backward(
            path,
            plans[0],
            *(*arguments, d_z, d_kl, d_groups, scale, *written),
            offset_value=settings.offset,
            samples=max(settings.samples, 1),
            noise_scale=settings.noise_scale,
            clamp=(settings.low, settings.high),
            row_nats=settings.row_nats,
        )
    return results


def sample_latent(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    settings: Settings,
) -> Tensor:
    """The z of ``forward`` alone, by the best path."""

    def planner(kernels: ModuleType, mean: Tensor, log_variance: Tensor, arch: int) -> Plans:
        switches = {"MANY": settings.samples > 1, "ROUNDS": settings.rounds}
        return (kernels.plan(kernels.SAMPLE, arch, mean, log_variance, **switches),)

    pair = _matrices(mean, log_variance)
    path, reason, plans = _choose(*pair, planner)
    record("sample_latent", path, reason)
    if path == "reference":
        z = reference.forward(mean, log_variance, seed, offset, None, settings)[0]
        return z.contiguous()
    if path == "native":
        from seqvae.ops import gaussian_native

        z = gaussian_native.sample_latent(*pair, seed, offset, settings)
    else:
        kernels = _kernels()
        assert kernels is not None
        with _on(mean.device):
            z = kernels.sample_latent(
                path,
                plans[0],
                *(*pair, seed, offset),
                offset_value=settings.offset,
                samples=max(settings.samples, 1),
                noise_scale=settings.noise_scale,
            )
    shape = (*mean.shape[:-1], pair[0].shape[1])
    return z.reshape((settings.samples, *shape) if settings.samples else shape)


def kl_rows(mean: Tensor, log_variance: Tensor | None, row_nats: float) -> Tensor:
    """The KL of each row, at least ``row_nats``, by the best path."""

    def planner(kernels: ModuleType, mean: Tensor, log_variance: Tensor, arch: int) -> Plans:
        return (kernels.plan(kernels.KL_ROWS, arch, mean, log_variance),)

    pair = _matrices(mean, log_variance)
    path, reason, plans = _choose(*pair, planner)
    record("kl_rows", path, reason)
    if path == "reference":
        kl = reference.gaussian_kl(*halves(mean, log_variance)).sum(-1).clamp_min(row_nats)
    elif path == "native":
        from seqvae.ops import gaussian_native

        kl = gaussian_native.kl_rows(*pair, row_nats)
    else:
        kernels = _kernels()
        assert kernels is not None
        with _on(mean.device):
            kl = kernels.kl_rows(path, plans[0], *pair, row_nats)
    return kl.reshape(mean.shape[:-1])
