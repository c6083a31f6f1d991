"""Which onnxruntime there is, where it computes, and what to say when that is not what was wanted."""

import importlib.machinery
import importlib.util
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from seqvae.errors import UserError

Provider = Literal["auto", "cpu", "cuda"]
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
INSTALL = 'pip install "seqvae[cpu]", or "seqvae[gpu]" on a machine with an NVIDIA GPU'

# EXHAUSTIVE, the default, tries every algorithm for every new length: seconds for each.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}


class FallbackWarning(RuntimeWarning):
    """A GPU, or a way to use it, was asked for or is there, and something slower is used."""


def onnxruntime() -> ModuleType:
    """The package.

    Raises:
        UserError: it is not installed, or what is installed is broken.
    """
    try:
        import onnxruntime as package
    except ImportError as error:
        raise UserError(f"onnxruntime cannot be imported ({error}); {INSTALL}") from error
    if not hasattr(package, "InferenceSession"):
        # What pip leaves of two distributions in one folder when one of them is uninstalled.
        raise UserError(
            "onnxruntime is an empty folder: another distribution of it was uninstalled; "
            f"pip uninstall onnxruntime onnxruntime-gpu, then {INSTALL}"
        )
    module: ModuleType = package
    return module


def clash() -> str | None:
    """What to do where both distributions are installed; None where not."""
    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return None
    both = " and ".join(f"{name} {version}" for name, version in found.items())
    return (
        f"{both} are both installed; they share one folder, in which the one for the processor "
        "hides the one for the GPU; pip uninstall onnxruntime onnxruntime-gpu, then "
        'pip install "seqvae[gpu]"'
    )


def resolve(wanted: Provider) -> Literal["cpu", "cuda"]:
    """Where to compute.

    `cuda` without a GPU build of onnxruntime warns and computes on the processor.

    Args:
        wanted: `auto` takes the GPU where there is one.

    Raises:
        UserError: `wanted` is something else; onnxruntime is missing; or `cuda` is wanted and two
            distributions hide each other.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise UserError(f"engine: provider is {wanted!r}; it must be auto, cpu or cuda")
    available = onnxruntime().get_available_providers()
    if wanted == "cpu":
        return "cpu"
    if CUDA in available:
        return "cuda"
    trouble = clash()
    if wanted == "cuda":
        if trouble:
            raise UserError(f"engine: provider cuda: {trouble}")
        warn_of_fallback(
            "this onnxruntime was built without CUDA (it offers "
            f"{', '.join(available)}); pip uninstall onnxruntime, then "
            'pip install "seqvae[gpu]"'
        )
    elif trouble:
        warn_of_fallback(trouble)
    return "cpu"


def providers_of(provider: Literal["cpu", "cuda"], *, graphs: bool = False) -> list[Any]:
    """The `providers` argument of a session.

    Args:
        provider: where to compute.
        graphs: capture CUDA graphs; the session then wants fixed addresses.
    """
    if provider == "cpu":
        return [CPU]
    options = _CUDA_OPTIONS | ({"enable_cuda_graph": "1"} if graphs else {})
    return [(CUDA, options), CPU]


def preload() -> None:
    """Load the CUDA and cuDNN libraries that pip installed: the system's loader does not know them."""
    load = getattr(onnxruntime(), "preload_dlls", None)
    if load is not None:
        load()


def warn_of_fallback(reason: str, what: str = "computes on the CPU, not on a GPU") -> None:
    """Say, on stderr unless the program filters warnings, that the fast way is not taken."""
    warnings.warn(f"seqvae {what}: {reason}", FallbackWarning, stacklevel=3)


def extensions_library() -> str:
    """Path of the library with the tokenizer's operators.

    Raises:
        UserError: onnxruntime-extensions is not installed.
    """
    # Importing the package would import onnx and torch where they are installed: seconds.
    try:
        spec = importlib.util.find_spec("onnxruntime_extensions")
    except ValueError:  # a blocked module
        spec = None
    folders = (spec and spec.submodule_search_locations) or ()
    for folder in folders:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / f"_extensions_pydll{suffix}"
            if path.is_file():
                return str(path)
    raise UserError(
        "this bundle splits and joins text inside its graphs (tokenizer sentencepiece), which needs "
        "onnxruntime-extensions, and it is not installed; "
        'pip install "seqvae[serve]", or export with --tokenizer ids'
    )
