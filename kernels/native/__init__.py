"""The door to the C++ library: numpy in, numpy out, nothing of torch.

The library is built by ``pip install`` (``make setup``) from the top-level CMakeLists.txt. What each
function computes is defined by its reference in ``seqvae/ops``.
"""

import ctypes
import functools
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqvae.errors import UserError

Matrix = npt.NDArray[np.float32]

_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_INT64 = ctypes.c_int64
_POINTER = ctypes.c_void_p
_COMMON = [_POINTER, _POINTER, *[_INT64] * 5, ctypes.c_float, _INT64, _INT64]
_SIGNATURES = {
    "seqvae_gaussian_latent_f32": [*_COMMON, _POINTER, _POINTER],
    "seqvae_gaussian_latent_backward_f32": [*_COMMON, *[_POINTER] * 4],
}


def _path() -> Path | None:
    # An editable install keeps the library in site-packages, beside no Python source.
    for folder in __path__:
        candidate = Path(folder) / f"_native{_SUFFIX}"
        if candidate.is_file():
            return candidate
    return None


def available() -> bool:
    """Say whether this install was built with the library."""
    return _path() is not None


@functools.cache
def library() -> ctypes.CDLL:
    """Open the library once and declare its functions.

    Raises:
        UserError: this install was built without it, or it cannot be opened.
    """
    path = _path()
    if path is None:
        raise UserError(
            f"the native library _native{_SUFFIX} is not in {list(__path__)}: it was not built; "
            "run `make setup` (needs a C++17 compiler)"
        )
    try:
        opened = ctypes.CDLL(str(path))
        for name, arguments in _SIGNATURES.items():
            function = getattr(opened, name)
            function.argtypes, function.restype = arguments, None
        opened.seqvae_version.argtypes, opened.seqvae_version.restype = [], ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise UserError(
            f"the native library {path} cannot be opened: {error}; rebuild it with `make setup`"
        ) from error
    return opened


def version() -> str:
    """Return the version the library was built from."""
    text: bytes = library().seqvae_version()
    return text.decode()


def _rows(name: str, value: Matrix) -> int:
    """Return the row stride of a float32 matrix whose rows are contiguous."""
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        raise TypeError(f"{name} must be a float32 array, got {getattr(value, 'dtype', value)}")
    if value.ndim != 2:
        raise ValueError(f"{name} must be [N, D], got shape {value.shape}")
    if value.size == 0:
        return 0
    if value.shape[1] > 1 and value.strides[1] != value.itemsize:
        raise ValueError(f"{name} must have contiguous rows, got strides {value.strides}")
    stride, rest = divmod(value.strides[0], value.itemsize)
    if rest:
        raise ValueError(f"{name} must have aligned rows, got strides {value.strides}")
    return stride


def _block(name: str, value: Matrix, shape: tuple[int, ...], *, writeable: bool = False) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        raise TypeError(f"{name} must be a float32 array, got {getattr(value, 'dtype', value)}")
    if value.shape != shape or not value.flags.c_contiguous:
        raise ValueError(f"{name} must be contiguous {shape}, got {value.shape} {value.strides}")
    if writeable and not value.flags.writeable:
        raise ValueError(f"{name} must be writeable")


def _check_pair(mean: Matrix, log_variance: Matrix, samples: int) -> tuple[int, int]:
    strides = _rows("mean", mean), _rows("log_variance", log_variance)
    if mean.shape != log_variance.shape:
        raise ValueError(f"mean {mean.shape} and log_variance {log_variance.shape} differ")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    return strides


def gaussian_latent(
    mean: Matrix,
    log_variance: Matrix,
    seed: int,
    *,
    offset: int = 0,
    samples: int = 1,
    noise_scale: float = 1.0,
    out: tuple[Matrix, Matrix] | None = None,
) -> tuple[Matrix, Matrix]:
    """Compute ``seqvae.ops.gaussian_latent`` in float32 on the CPU.

    Args:
        mean: [N, D]; rows may be strided.
        log_variance: [N, D]; rows may be strided.
        seed: the 64-bit key, signed.
        offset: stream under this seed.
        samples: S, samples per row.
        noise_scale: multiplies the standard deviation of z.
        out: where to write; contiguous, overlapping no input.

    Returns:
        z: [S, N, D].
        kl: [N, D], nats per dimension.

    Raises:
        UserError: the library was not built.
        TypeError: an array is not float32.
        ValueError: a shape, a stride or ``samples`` does not fit.
    """
    mean_stride, log_variance_stride = _check_pair(mean, log_variance, samples)
    rows, dim = mean.shape
    if out is None:
        z = np.empty((samples, rows, dim), dtype=np.float32)
        kl = np.empty((rows, dim), dtype=np.float32)
    else:
        z, kl = out
        _block("z", z, (samples, rows, dim), writeable=True)
        _block("kl", kl, (rows, dim), writeable=True)
    library().seqvae_gaussian_latent_f32(
        mean.ctypes.data,
        log_variance.ctypes.data,
        rows,
        dim,
        mean_stride,
        log_variance_stride,
        samples,
        noise_scale,
        seed,
        offset,
        z.ctypes.data,
        kl.ctypes.data,
    )
    return z, kl


def gaussian_latent_backward(
    mean: Matrix,
    log_variance: Matrix,
    seed: int,
    dz: Matrix,
    dkl: Matrix,
    *,
    offset: int = 0,
    noise_scale: float = 1.0,
    out: tuple[Matrix, Matrix] | None = None,
) -> tuple[Matrix, Matrix]:
    """Compute the gradients of ``gaussian_latent``; the noise is recomputed from the seed.

    Args:
        mean: [N, D]; rows may be strided.
        log_variance: [N, D]; rows may be strided.
        seed: as in the forward pass.
        dz: [S, N, D], contiguous.
        dkl: [N, D], contiguous.
        offset: as in the forward pass.
        noise_scale: as in the forward pass.
        out: where to write; contiguous, overlapping no input.

    Returns:
        Gradients of mean and log_variance, [N, D] each.

    Raises:
        UserError: the library was not built.
        TypeError: an array is not float32.
        ValueError: a shape or a stride does not fit.
    """
    samples = dz.shape[0] if dz.ndim == 3 else 1
    mean_stride, log_variance_stride = _check_pair(mean, log_variance, samples)
    rows, dim = mean.shape
    _block("dz", dz, (samples, rows, dim))
    _block("dkl", dkl, (rows, dim))
    if out is None:
        d_mean = np.empty((rows, dim), dtype=np.float32)
        d_log_variance = np.empty((rows, dim), dtype=np.float32)
    else:
        d_mean, d_log_variance = out
        _block("d_mean", d_mean, (rows, dim), writeable=True)
        _block("d_log_variance", d_log_variance, (rows, dim), writeable=True)
    library().seqvae_gaussian_latent_backward_f32(
        mean.ctypes.data,
        log_variance.ctypes.data,
        rows,
        dim,
        mean_stride,
        log_variance_stride,
        samples,
        noise_scale,
        seed,
        offset,
        dz.ctypes.data,
        dkl.ctypes.data,
        d_mean.ctypes.data,
        d_log_variance.ctypes.data,
    )
    return d_mean, d_log_variance
