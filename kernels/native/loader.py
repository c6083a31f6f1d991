"""Find and open the C++ library."""

import ctypes
import functools
import sys
from pathlib import Path

from seqvae.errors import UserError

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
# Arguments and result; a request is packed bytes, see seqvae_native.h.
_SIGNATURES = {
    "seqvae_gaussian_forward": ([ctypes.c_char_p], ctypes.c_int32),
    "seqvae_gaussian_backward": ([ctypes.c_char_p], ctypes.c_int32),
    "seqvae_philox": (
        [*[ctypes.c_int64] * 4, *[ctypes.c_int32] * 2, ctypes.c_void_p],
        ctypes.c_int32,
    ),
    "seqvae_has_instructions": ([ctypes.c_int32], ctypes.c_int32),
    "seqvae_version": ([], ctypes.c_char_p),
}


def folders() -> list[str]:
    """Where the library may be."""
    return list(sys.modules[__package__].__path__)


def path() -> Path | None:
    """The library's file, or None if this install was built without it."""
    # An editable install keeps the library in site-packages, beside no Python source.
    for folder in folders():
        candidate = Path(folder) / f"_native{SUFFIX}"
        if candidate.is_file():
            return candidate
    return None


def available() -> bool:
    """Say whether this install was built with the library."""
    return path() is not None


@functools.cache
def library() -> ctypes.CDLL:
    """Open the library once and declare its functions.

    Raises:
        UserError: this install was built without it, or it cannot be opened.
    """
    found = path()
    if found is None:
        raise UserError(
            f"the native library _native{SUFFIX} is not in {folders()}: it was not built; "
            "run `make setup` (needs a C++17 compiler)"
        )
    try:
        opened = ctypes.CDLL(str(found))
        for name, (arguments, result) in _SIGNATURES.items():
            function = getattr(opened, name)
            function.argtypes, function.restype = arguments, result
    except (OSError, AttributeError) as error:
        raise UserError(
            f"the native library {found} cannot be opened: {error}; rebuild it with `make setup`"
        ) from error
    return opened


def version() -> str:
    """Return the version the library was built from."""
    text: bytes = library().seqvae_version()
    return text.decode()
