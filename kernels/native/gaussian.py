"""The Gaussian latent on the CPU: numpy in, numpy out."""

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seqvae.kernels.native import request
from seqvae.kernels.native.request import Instructions

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Reduce = Literal["none", "rows", "dimensions", "both"]
# The structure of the KL: one array, or sums over dimensions and means over rows.
Kl = Array | tuple[Array, Array]
KlGradient = Array | tuple[Array | None, Array | None] | None


def gaussian_latent(
    mean: Array,
    log_variance: Array,
    seed: int,
    *,
    offset: int = 0,
    samples: int = 1,
    noise_scale: float = 1.0,
    reduce: Reduce = "none",
    mask: Mask | None = None,
    clamp: tuple[float, float] | None = None,
    rounds: int = 10,
    threads: int = 1,
    instructions: Instructions = "best",
    out: tuple[Array, Kl] | None = None,
) -> tuple[Array, Kl]:
    """Compute ``seqvae.ops.gaussian_latent`` in float32 on the CPU.

    The result does not depend on ``threads`` and ``instructions``, to the last bit.

    Args:
        mean: [N, D]; rows may be strided.
        log_variance: [N, D]; rows may be strided.
        seed: the 64-bit key, signed.
        offset: stream under this seed.
        samples: S, samples per row.
        noise_scale: multiplies the standard deviation of z.
        reduce: "none", "rows" (sum over D), "dimensions" (mean over the rows that count) or "both".
        mask: [N], true where a row counts. One that does not has z = 0 and kl = 0, even if it is NaN.
        clamp: (low, high) of the log-variance, None for none.
        rounds: of Philox, 10 or 7.
        threads: at most this many.
        instructions: vector width, for tests.
        out: where to write, shaped as the result; contiguous, overlapping no input.

    Returns:
        z: [S, N, D].
        kl: in nats, [N, D]; [N] for "rows"; [D] for "dimensions", 0 if no row counts; both for "both".

    Raises:
        UserError: the library was not built.
        TypeError: an array is not float32, or the mask not bool.
        ValueError: a shape, a stride, ``samples``, ``reduce``, ``clamp`` or ``rounds`` does not fit.
    """
    fields = _statistics(mean, log_variance, samples, mask, clamp, rounds)
    shapes = _kl_shapes(reduce, *mean.shape)
    if out is None:
        z = _empty(samples, *mean.shape)
        kls = {name: _empty(*shape) for name, shape in shapes.items()}
    else:
        z = out[0]
        kls = dict(zip(shapes, _parts(out[1], reduce), strict=True))
        _check_block("z", z, (samples, *mean.shape), writeable=True)
        for name, shape in shapes.items():
            _check_block(name, kls[name], shape, writeable=True)
    request.forward(
        **fields,
        seed=seed,
        offset=offset,
        noise_scale=noise_scale,
        threads=threads,
        instructions=instructions,
        z=_address(z),
        **{name: _address(array) for name, array in kls.items()},
    )
    values = tuple(kls.values())
    return z, values[0] if len(values) == 1 else (values[0], values[1])


def gaussian_latent_backward(
    mean: Array,
    log_variance: Array,
    seed: int,
    dz: Array | None,
    dkl: KlGradient,
    *,
    offset: int = 0,
    samples: int | None = None,
    noise_scale: float = 1.0,
    reduce: Reduce = "none",
    mask: Mask | None = None,
    clamp: tuple[float, float] | None = None,
    rounds: int = 10,
    threads: int = 1,
    instructions: Instructions = "best",
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Compute the gradients of ``gaussian_latent``; the noise is recomputed from the seed.

    Args:
        mean: [N, D]; rows may be strided.
        log_variance: [N, D]; rows may be strided.
        seed: as in the forward pass.
        dz: [S, N, D], contiguous, or None for zeros.
        dkl: shaped as the forward's kl, contiguous, or None for zeros; of a pair either may be None.
        offset: as in the forward pass.
        samples: None, or S as in the forward pass.
        noise_scale: as in the forward pass.
        reduce: as in the forward pass.
        mask: as in the forward pass; a row that does not count has gradients 0.
        clamp: as in the forward pass; the log-variance's gradient is 0 outside, not at the borders.
        rounds: as in the forward pass.
        threads: at most this many.
        instructions: vector width, for tests.
        out: where to write, [N, D] each; rows may be strided, such as the halves of one [N, 2 D].

    Returns:
        Gradients of mean and log_variance, [N, D] each.

    Raises:
        UserError: the library was not built.
        TypeError: an array is not float32, or the mask not bool.
        ValueError: a shape, a stride, ``samples``, ``reduce``, ``clamp`` or ``rounds`` does not fit.
    """
    if samples is None:
        samples = dz.shape[0] if isinstance(dz, np.ndarray) and dz.ndim == 3 else 1
    fields = _statistics(mean, log_variance, samples, mask, clamp, rounds)
    gradients = {}
    if dz is not None:
        _check_block("dz", dz, (samples, *mean.shape))
        gradients["d_z"] = _address(dz)
    shapes = _kl_shapes(reduce, *mean.shape)
    parts = (None,) * len(shapes) if dkl is None else _parts(dkl, reduce)
    for (name, shape), part in zip(shapes.items(), parts, strict=True):
        if part is not None:
            _check_block(f"d{name}", part, shape)
            gradients[f"d_{name}"] = _address(part)
    if out is None:
        out = _empty(*mean.shape), _empty(*mean.shape)
    d_mean, d_log_variance = out
    strides = [
        _check_rows(name, array, mean.shape, writeable=True)
        for name, array in (("d_mean", d_mean), ("d_log_variance", d_log_variance))
    ]
    request.backward(
        d_mean=_address(d_mean),
        d_log_variance=_address(d_log_variance),
        d_mean_stride=strides[0],
        d_log_variance_stride=strides[1],
        **fields,
        seed=seed,
        offset=offset,
        noise_scale=noise_scale,
        threads=threads,
        instructions=instructions,
        **gradients,
    )
    return d_mean, d_log_variance


def sample_latent(
    mean: Array,
    log_variance: Array,
    seed: int,
    *,
    offset: int = 0,
    samples: int = 1,
    noise_scale: float = 1.0,
    mask: Mask | None = None,
    clamp: tuple[float, float] | None = None,
    rounds: int = 10,
    threads: int = 1,
    out: Array | None = None,
) -> Array:
    """Return the z of ``gaussian_latent``, [S, N, D], without its KL; arguments and errors are as there.

    Args:
        mean: [N, D]; rows may be strided.
        log_variance: [N, D]; rows may be strided.
        seed: the 64-bit key, signed.
        offset: stream under this seed.
        samples: S, samples per row.
        noise_scale: multiplies the standard deviation of z.
        mask: [N], true where a row counts.
        clamp: (low, high) of the log-variance.
        rounds: of Philox, 10 or 7.
        threads: at most this many.
        out: where to write, [S, N, D].
    """
    fields = _statistics(mean, log_variance, samples, mask, clamp, rounds)
    if out is None:
        out = _empty(samples, *mean.shape)
    _check_block("z", out, (samples, *mean.shape), writeable=True)
    request.forward(
        **fields,
        seed=seed,
        offset=offset,
        noise_scale=noise_scale,
        threads=threads,
        z=_address(out),
    )
    return out


def kl_rows(
    mean: Array,
    log_variance: Array,
    free_bits: float = 0.0,
    *,
    mask: Mask | None = None,
    clamp: tuple[float, float] | None = None,
    threads: int = 1,
    out: Array | None = None,
) -> Array:
    """Return each row's KL to the standard normal, [N], in nats; errors are those of ``gaussian_latent``.

    Args:
        mean: [N, D]; rows may be strided.
        log_variance: [N, D]; rows may be strided.
        free_bits: nats; a row's KL is clamped from below.
        mask: [N], true where a row counts; the KL of one that does not is 0.
        clamp: (low, high) of the log-variance.
        threads: at most this many.
        out: where to write, [N].
    """
    fields = _statistics(mean, log_variance, 1, mask, clamp, 10)
    if out is None:
        out = _empty(mean.shape[0])
    _check_block("kl", out, mean.shape[:1], writeable=True)
    request.forward(**fields, free_bits=free_bits, threads=threads, kl_rows=_address(out))
    return out


def _statistics(
    mean: Array,
    log_variance: Array,
    samples: int,
    mask: Mask | None,
    clamp: tuple[float, float] | None,
    rounds: int,
) -> dict[str, Any]:
    """Check what all functions take; the fields of the request that it fills."""
    mean_stride = _check_rows("mean", mean)
    log_variance_stride = _check_rows("log_variance", log_variance)
    if mean.shape != log_variance.shape:
        raise ValueError(f"mean {mean.shape} and log_variance {log_variance.shape} differ")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if rounds not in (7, 10):
        raise ValueError(f"rounds must be 10 or 7, got {rounds}")
    low, high = (-math.inf, math.inf) if clamp is None else clamp
    if not low <= high:
        raise ValueError(f"clamp must be (low, high) with low <= high, got {clamp}")
    fields = {
        "mean": _address(mean),
        "log_variance": _address(log_variance),
        "rows": mean.shape[0],
        "dim": mean.shape[1],
        "mean_stride": mean_stride,
        "log_variance_stride": log_variance_stride,
        "samples": samples,
        "low": low,
        "high": high,
        "rounds": rounds,
    }
    if mask is not None:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"mask must be a bool array, got {getattr(mask, 'dtype', mask)}")
        if mask.shape != mean.shape[:1] or not mask.flags.c_contiguous:
            raise ValueError(f"mask must be contiguous {mean.shape[:1]}, got {mask.shape}")
        fields["mask"] = _address(mask)
    return fields


def _kl_shapes(reduce: Reduce, rows: int, dim: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "none": {"kl": (rows, dim)},
        "rows": {"kl_rows": (rows,)},
        "dimensions": {"kl_dimensions": (dim,)},
        "both": {"kl_rows": (rows,), "kl_dimensions": (dim,)},
    }
    if reduce not in shapes:
        raise ValueError(f"reduce must be one of {', '.join(shapes)}, got {reduce!r}")
    return shapes[reduce]


def _parts(kl: Any, reduce: Reduce) -> tuple[Any, ...]:  # noqa: ANN401
    if reduce != "both":
        return (kl,)
    if not isinstance(kl, tuple) or len(kl) != 2:
        raise ValueError('with reduce="both" the KL is a pair: (rows, dimensions)')
    return kl


def _empty(*shape: int) -> Array:
    return np.empty(shape, dtype=np.float32)


def _address(array: npt.NDArray[Any]) -> int:
    # array.ctypes.data costs three times as much.
    return int(array.__array_interface__["data"][0])


def _check_float32(name: str, value: Array, writeable: bool) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        raise TypeError(f"{name} must be a float32 array, got {getattr(value, 'dtype', value)}")
    if writeable and not value.flags.writeable:
        raise ValueError(f"{name} must be writeable")


def _check_rows(
    name: str, value: Array, shape: tuple[int, ...] | None = None, *, writeable: bool = False
) -> int:
    """Return the row stride of a float32 matrix whose rows are contiguous."""
    _check_float32(name, value, writeable)
    if value.ndim != 2 or shape not in (None, value.shape):
        raise ValueError(f"{name} must be {shape or '[N, D]'}, got shape {value.shape}")
    if value.size == 0:
        return 0
    if value.shape[1] > 1 and value.strides[1] != value.itemsize:
        raise ValueError(f"{name} must have contiguous rows, got strides {value.strides}")
    stride, rest = divmod(value.strides[0], value.itemsize)
    if rest:
        raise ValueError(f"{name} must have aligned rows, got strides {value.strides}")
    return stride


def _check_block(
    name: str, value: Array, shape: tuple[int, ...], *, writeable: bool = False
) -> None:
    _check_float32(name, value, writeable)
    if value.shape != shape or not value.flags.c_contiguous:
        raise ValueError(f"{name} must be contiguous {shape}, got {value.shape} {value.strides}")
