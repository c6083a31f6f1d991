"""Sample a diagonal Gaussian posterior and measure its KL to the standard normal, in one call.

Kingma and Welling, "Auto-encoding variational Bayes", 2014. Written with torch this is 13 launches forward and 16 backward
that keep four tensors; here each direction is one kernel (two with means over rows), the noise is drawn inside it, drawn
again by the backward pass, and nothing is kept but the arguments. ``gaussian_reference`` is the definition.
"""

import inspect
import math
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from torch import Tensor

from seqvae.ops import gaussian_operators as operators
from seqvae.ops import gaussian_reference as reference
from seqvae.ops.dispatch import forced, record
from seqvae.ops.gaussian_reference import Settings, gaussian_kl

__all__ = ["FreeBits", "Reduce", "gaussian_kl", "gaussian_latent"]

Reduce = Literal["none", "rows", "dimensions", "both"]


@dataclass(frozen=True)
class FreeBits:
    """KL that costs nothing, so that a latent is not given up for it (Kingma et al. 2016, arXiv 1606.04934, C.8).

    Attributes:
        nats: a KL below this counts as this and has no gradient; at it the gradient passes, as in ``torch.clamp_min``.
        over: what has ``nats`` for itself: "row", the sum over a row's dimensions; "dimension", the mean over rows of
            one dimension; "group", the mean over rows of the sum over a group of dimensions.
        groups: for "group", how many: neighbouring dimensions, equally many in each.
    """

    nats: float
    over: Literal["row", "dimension", "group"] = "row"
    groups: int = 1


class _GaussianLatent(torch.autograd.Function):
    """The operators with their gradient; keeps no tensor but the arguments and, for means over rows, [D] numbers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        mean: Tensor,
        log_variance: Tensor | None,
        seed: Tensor,
        offset: Tensor | None,
        mask: Tensor | None,
        settings: Settings,
    ) -> operators.Four:
        found: operators.Four = operators.gaussian_latent_forward(
            mean, log_variance, seed, offset, mask, *settings
        )
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: operators.Four) -> None:  # noqa: ANN401
        settings, scale = inputs[5], output[3]
        means = settings.reduce in ("dimensions", "both")
        ctx.save_for_backward(*inputs[:5], scale if means else None)
        ctx.mark_non_differentiable(scale)
        ctx.set_materialize_grads(False)
        ctx.settings = settings

    @staticmethod
    def backward(ctx: Any, d_z: Any, d_kl: Any, d_groups: Any, _: Any) -> tuple[Any, ...]:  # noqa: ANN401
        mean, log_variance, seed, offset, mask, scale = ctx.saved_tensors
        arguments = (mean, log_variance, seed, offset, mask, scale, d_z, d_kl, d_groups)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            # Someone wants the gradient of this gradient, which the operator has none of.
            of_mean, of_log_variance = reference.backward(*arguments, ctx.settings)
        else:
            of_mean, of_log_variance = operators.gaussian_latent_backward(*arguments, *ctx.settings)
        second = None if log_variance is None else of_log_variance
        return of_mean, second, None, None, None, None


# apply() asks for the signature at every call; to work it out takes a quarter of a call's time.
_GaussianLatent.forward.__signature__ = inspect.signature(_GaussianLatent.forward)  # type: ignore[attr-defined]


@overload
def gaussian_latent(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    *,
    offset: Tensor | int = 0,
    samples: int | None = None,
    noise_scale: float = 1.0,
    reduce: Literal["none", "rows", "dimensions"] = "none",
    free_bits: FreeBits | None = None,
    mask: Tensor | None = None,
    clamp: tuple[float, float] | None = None,
    rounds: int = 10,
) -> tuple[Tensor, Tensor]: ...


@overload
def gaussian_latent(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    *,
    offset: Tensor | int = 0,
    samples: int | None = None,
    noise_scale: float = 1.0,
    reduce: Literal["both"],
    free_bits: FreeBits | None = None,
    mask: Tensor | None = None,
    clamp: tuple[float, float] | None = None,
    rounds: int = 10,
) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...


def gaussian_latent(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    *,
    offset: Tensor | int = 0,
    samples: int | None = None,
    noise_scale: float = 1.0,
    reduce: Reduce = "none",
    free_bits: FreeBits | None = None,
    mask: Tensor | None = None,
    clamp: tuple[float, float] | None = None,
    rounds: int = 10,
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Return posterior samples and their KL to the standard normal, differentiable in the statistics.

    The noise is ``normal(seed, z.shape, offset)``: the same on every device and in every pass (GPUs compute it to 1e-5,
    see ``kernels/noise.py``).

    Args:
        mean: [..., D], any float dtype; or mean and log-variance side by side, [..., 2D], as a layer returns them. Any
            strides do; rows in one block of memory with contiguous dimensions are not copied.
        log_variance: [..., D], same shape; None if ``mean`` holds both. The gradient has the same layout.
        seed: int64, one element; never read by the host if it is on a GPU.
        offset: stream under this seed, an int or int64 of one element; give each step and latent level its own.
        samples: None for one sample per row, or S for a leading axis of S samples.
        noise_scale: multiplies the standard deviation of z; the KL stays that of the posterior.
        reduce: what is left of the KL: "none" reduces nothing, "rows" sums over dimensions, "dimensions" takes the mean
            over the rows that count (0 without any), "both" gives both.
        free_bits: KL that costs nothing; over rows with "rows" or "both", else with "dimensions" or "both".
        mask: bool [...], true where a row counts. One that does not has z = 0, KL 0 and gradient 0, even if it is NaN.
        clamp: (low, high) of the log-variance, with the gradient of ``torch.clamp``.
        rounds: of Philox, 10 or 7: see ``philox4x32``.

    Returns:
        z: [..., D], or [S, ..., D] with ``samples=S``, in the dtype of ``mean``.
        kl: float32, nats: [..., D] for "none", [...] for "rows", [D] (or [groups]) for "dimensions", and
            (rows, dimensions) for "both".

    Raises:
        ValueError: shapes, devices or options do not fit.
        TypeError: the statistics are not float, the mask not bool.
    """
    settings = _settings(
        *(mean, log_variance, offset, samples, noise_scale, reduce, free_bits, clamp, rounds)
    )
    seed, stream, mask = _tensors(mean, log_variance, seed, offset, mask)
    if not_served("gaussian_latent", mean, log_variance):
        # Not inside an operator: a compiler then sees, and fuses, what the reference does.
        z, kl, groups, _ = reference.forward(mean, log_variance, seed, stream, mask, settings)
    elif torch.is_grad_enabled():
        arguments = (mean, log_variance, seed, stream, mask)
        z, kl, groups, _ = _GaussianLatent.apply(*arguments, settings)  # type: ignore[no-untyped-call]
    else:
        z, kl, groups, _ = operators.gaussian_latent_forward(
            mean, log_variance, seed, stream, mask, *settings
        )
    if kl is not None and groups is not None and reduce == "both":
        return z, (kl, groups)
    found = groups if reduce == "dimensions" else kl
    assert found is not None
    return z, found


def not_served(op: str, mean: Tensor, log_variance: Tensor | None) -> bool:
    """Whether the operators are not for these statistics or not asked for; says so in ``explain``."""
    reason = None
    if forced() == "reference":
        reason = "asked for"
    elif mean.dtype == torch.float64:
        reason = "float64"
    elif log_variance is not None and log_variance.dtype != mean.dtype:
        reason = f"{mean.dtype} with {log_variance.dtype}"
    elif mean.device.type not in ("cpu", "cuda", "meta"):
        reason = f"no operator for {mean.device.type}"
    if reason is not None and not torch.compiler.is_compiling():
        record(op, "reference", reason)
    return reason is not None


def _settings(
    mean: Tensor,
    log_variance: Tensor | None,
    offset: Tensor | int,
    samples: int | None,
    noise_scale: float,
    reduce: Reduce,
    free_bits: FreeBits | None,
    clamp: tuple[float, float] | None,
    rounds: int,
) -> Settings:
    """Check what is no tensor."""
    dim = check_statistics(mean, log_variance)
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if reduce not in ("none", "rows", "dimensions", "both"):
        raise ValueError(f"reduce must be none, rows, dimensions or both, got {reduce!r}")
    if rounds not in (7, 10):
        raise ValueError(f"rounds must be 10 or 7, got {rounds}")
    low, high = (-math.inf, math.inf) if clamp is None else clamp
    if not low <= high:
        raise ValueError(f"clamp must be (low, high) with low <= high, got {clamp}")
    row_nats = nats = -math.inf
    width = 1
    if free_bits is not None:
        needed = "rows" if free_bits.over == "row" else "dimensions"
        if reduce not in (needed, "both"):
            raise ValueError(f"{free_bits} needs reduce={needed!r} or 'both', got {reduce!r}")
        if free_bits.over not in ("row", "dimension", "group") or math.isnan(free_bits.nats):
            raise ValueError(
                f"over must be row, dimension or group, and nats a number: {free_bits}"
            )
        if free_bits.over == "row":
            row_nats = float(free_bits.nats)
        else:
            nats = float(free_bits.nats)
        if free_bits.over == "group":
            if free_bits.groups < 1 or dim % free_bits.groups:
                raise ValueError(f"{dim} dimensions are not {free_bits.groups} equal groups")
            width = max(dim // free_bits.groups, 1)
    stream = offset if isinstance(offset, int) else 0
    return Settings(
        *(stream, samples or 0, float(noise_scale), reduce, float(low), float(high)),
        *(row_nats, nats, width, rounds),
    )


def check_statistics(mean: Tensor, log_variance: Tensor | None) -> int:
    """D of some statistics.

    Raises:
        ValueError: their shapes or devices do not fit.
        TypeError: one is not float.
    """
    both = (mean,) if log_variance is None else (mean, log_variance)
    for given in both:
        if not given.is_floating_point():
            raise TypeError(f"statistics must be float, got {given.dtype}")
        if given.dim() < 1:
            raise ValueError("statistics must have an axis of dimensions, got a number")
        if given.device != mean.device:
            raise ValueError(f"mean is on {mean.device}, log_variance on {given.device}")
    if log_variance is None:
        if mean.shape[-1] % 2:
            raise ValueError(f"packed statistics must be [..., 2D], got {tuple(mean.shape)}")
        return mean.shape[-1] // 2
    if mean.shape != log_variance.shape:
        raise ValueError(
            f"mean {tuple(mean.shape)} and log_variance {tuple(log_variance.shape)} differ"
        )
    return mean.shape[-1]


def check_seed(name: str, seed: Tensor, device: torch.device) -> Tensor:
    """The seed on the statistics' device.

    Raises:
        ValueError: it is not one int64.
    """
    if seed.dtype != torch.int64 or seed.numel() != 1:
        raise ValueError(
            f"{name} must be an int64 tensor of one element, got {seed.dtype} {tuple(seed.shape)}"
        )
    return seed if seed.device == device else seed.to(device)


def _tensors(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | int,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Check the tensors beside the statistics: seed, offset, mask."""
    seed = check_seed("seed", seed, mean.device)
    stream = check_seed("offset", offset, mean.device) if isinstance(offset, Tensor) else None
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must be bool, got {mask.dtype}")
        if mask.shape != mean.shape[:-1]:
            expected = tuple(mean.shape[:-1])
            raise ValueError(f"mask must be {expected}, as the rows, got {tuple(mask.shape)}")
        if mask.device != mean.device:
            raise ValueError(f"mask is on {mask.device}, mean on {mean.device}")
    return seed, stream, mask
