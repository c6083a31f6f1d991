"""The one module that imports torchaudio, whose Linux wheel does not load beside a CPU build of torch."""

import importlib
import logging
import sys
from threading import Lock
from types import ModuleType
from typing import Any

from seqvae.errors import UserError

_LOADER = "torchaudio._extension.utils"
_LOCK = Lock()


def torchaudio() -> ModuleType:
    """The module torchaudio.

    The wheel of torchaudio 2.11 for Linux is linked to CUDA: beside a torch without CUDA, or with
    another version of it, its import raises. Only forced alignment and the RNN transducer's loss need
    what is compiled; torchaudio does without it where it finds no such file. So after a failure it is
    imported once more, finding none, and what was changed for that is put back: a working installation
    never comes here.

    Raises:
        UserError: torchaudio is not installed, or cannot be loaded even so.
    """
    with _LOCK:
        try:
            return importlib.import_module("torchaudio")
        except ModuleNotFoundError as error:
            if error.name != "torchaudio":
                raise
            raise UserError(
                "torchaudio is not installed; it comes with: pip install 'seqvae[speech]'"
            ) from error
        except (ImportError, OSError, RuntimeError) as error:
            return _without_extension(error)


def _without_extension(failure: Exception) -> ModuleType:
    """Import torchaudio as where its compiled files are absent."""
    loader: Any = sys.modules.get(_LOADER)
    if not hasattr(loader, "_load_lib"):
        raise UserError(
            f"torchaudio does not load beside this torch ({failure}); install builds of the two for the same CUDA"
        ) from failure
    load_library = loader._load_lib
    loader._load_lib = lambda name: False
    try:
        module = importlib.import_module("torchaudio")
    finally:
        loader._load_lib = load_library
    logging.getLogger(__name__).info("torchaudio works without its compiled part: %s", failure)
    return module
