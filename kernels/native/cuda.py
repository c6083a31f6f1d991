"""Launch the GPU kernels embedded in the native library, without Triton's dispatch.

The library is the installed one if it was built with ``-DSEQVAE_CUBINS=DIR``, or the file that the environment variable
SEQVAE_CUBIN_LIBRARY names.
"""

import ctypes
import functools
import hashlib
import os
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqvae.errors import UserError
from seqvae.kernels.native import loader

VARIABLE = "SEQVAE_CUBIN_LIBRARY"
MISALIGNED = -4
# SeqvaeCudaRequest in cuda_kernels.h; then every argument fills 8 bytes.
_REQUEST = "<iiIIIiQ"
_SLOTS = {"p": "Q", "i": "i4x", "l": "q", "f": "f4x", "d": "d"}
_INT, _TEXT = ctypes.c_int32, ctypes.c_char_p


@functools.cache
def source_hash() -> str:
    """Hash of the kernels' sources and launch tables, as they are on disk.

    A library built from others may know a variant by the same name and expect other arguments.
    """
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.py"), *folder.glob("launch_table/*.json"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class LaunchError(RuntimeError):
    """A kernel could not be launched.

    Attributes:
        status: see ``SeqvaeCudaStatus`` in cuda_kernels.h; positive values are the driver's.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library with machine code for GPUs, or None where there is none.

    Raises:
        UserError: SEQVAE_CUBIN_LIBRARY names a file that cannot be opened, has no kernels or has those of other sources.
    """
    asked = os.environ.get(VARIABLE)
    path = Path(asked).absolute() if asked else loader.path()
    if path is None:
        return None
    try:
        opened = ctypes.CDLL(str(path))
    except OSError as error:
        raise UserError(f"{VARIABLE if asked else 'native library'}: {error}") from error
    if problem := _unusable(opened):
        if asked:
            raise UserError(f"{VARIABLE}={asked}: {problem}")
        if hasattr(opened, "seqvae_cuda_find"):
            warnings.warn(f"GPU kernels in {path} are not used: {problem}", stacklevel=2)
        return None
    for name, arguments, result in _FUNCTIONS:
        function = getattr(opened, f"seqvae_cuda_{name}")
        function.argtypes, function.restype = arguments, result
    return opened


_FUNCTIONS: tuple[tuple[str, list[Any], Any], ...] = (
    ("count", [], _INT),
    ("find", [_TEXT, _INT], _INT),
    ("name", [_INT], _TEXT),
    ("arch", [_INT], _INT),
    ("parameters", [_INT], _TEXT),
    ("constants", [_INT], _TEXT),
    ("device_arch", [_INT], _INT),
    ("load", [_INT, _INT], _INT),
    ("launch_request", [_TEXT], _INT),
    ("error", [], _TEXT),
    ("source", [], _TEXT),
)


def _unusable(opened: ctypes.CDLL) -> str | None:
    if not hasattr(opened, "seqvae_cuda_find"):
        return "built without -DSEQVAE_CUBINS=DIR, so it has no GPU kernels"
    if not all(hasattr(opened, f"seqvae_cuda_{name}") for name, _, _ in _FUNCTIONS):
        return "another version's; build it again with `make cubins`"
    opened.seqvae_cuda_source.restype = _TEXT
    if opened.seqvae_cuda_source().decode() != source_hash():
        return "built from other kernel sources; build it again with `make cubins`"
    return None


@functools.cache
def find(variant: str, arch: int) -> int | None:
    """Number of the kernel that serves a variant on an architecture, or None."""
    opened = library()
    if opened is None:
        return None
    number = int(opened.seqvae_cuda_find(variant.encode(), arch))
    return number if number >= 0 else None


def names() -> list[str]:
    """Embedded kernels as NAME_smARCH, in order."""
    opened = library()
    if opened is None:
        return []
    return [
        f"{opened.seqvae_cuda_name(number).decode()}_sm{opened.seqvae_cuda_arch(number)}"
        for number in range(opened.seqvae_cuda_count())
    ]


def device_arch(device: int) -> int | None:
    """Compute capability of the current context's GPU, or without one of ``device``: 90 for 9.0; None if there is none."""
    opened = library()
    found = -1 if opened is None else int(opened.seqvae_cuda_device_arch(device))
    return found if found >= 0 else None


class Kernel:
    """One embedded kernel, its arguments' layout worked out beforehand.

    Args:
        number: from ``find``.
    """

    def __init__(self, number: int) -> None:
        opened = library()
        assert opened is not None, "find() gave no number"
        self.name: str = opened.seqvae_cuda_name(number).decode()
        self.parameters: str = opened.seqvae_cuda_parameters(number).decode()
        constants = opened.seqvae_cuda_constants(number).decode()
        self.constants = dict(pair.split("=") for pair in constants.split(";") if pair)
        layout = "".join(_SLOTS[letter.lower()] for letter in self.parameters)
        self._pack = struct.Struct(_REQUEST + layout).pack
        self._launch = opened.seqvae_cuda_launch_request
        self._number = number
        self._count = len(self.parameters)

    def __call__(
        self, grid: Sequence[int], arguments: Sequence[Any], device: int, stream: int
    ) -> None:
        """Launch on a stream of the current context.

        Args:
            grid: number of programs, 1 to 3 axes.
            arguments: runtime parameters in order: tensors (anything with ``data_ptr``), None, ints, floats.
            device: whose primary context is used if no context is current.
            stream: handle of a CUDA stream, 0 for the default one.

        Raises:
            LaunchError: see its status.
            TypeError: the number or the types of the arguments do not fit.
        """
        values: list[Any]
        try:
            values = [
                value if type(value) is int or type(value) is float else value.data_ptr()
                for value in arguments
            ]
        except AttributeError:
            values = [_number(value) for value in arguments]
        x, y, z = (*grid, 1, 1)[:3]
        try:
            request = self._pack(self._number, device, x, y, z, self._count, stream, *values)
        except struct.error as error:
            raise TypeError(f"{self.name}({self.parameters}): {error}, got {values}") from None
        status = self._launch(request)
        if status:
            raise _error(status)

    def load(self, device: int) -> None:
        """Load the machine code into the current context, as the first launch does.

        Args:
            device: whose primary context is used if no context is current.

        Raises:
            LaunchError: the driver refuses.
        """
        opened = library()
        status = opened.seqvae_cuda_load(self._number, device) if opened else 0
        if status:
            raise _error(status)


def _error(status: int) -> LaunchError:
    opened = library()
    text = opened.seqvae_cuda_error().decode() if opened else ""
    return LaunchError(text, status)


def _number(value: Any) -> Any:  # noqa: ANN401
    if value is None:
        return 0
    return value.data_ptr() if hasattr(value, "data_ptr") else value


@functools.cache
def kernel(variant: str, arch: int) -> Kernel | None:
    """The launcher of a variant for an architecture, or None if it is not embedded."""
    number = find(variant, arch)
    return None if number is None else Kernel(number)
