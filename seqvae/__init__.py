"""Sequence variational autoencoders for text and speech that do not collapse.

The public door. Names are imported on first use, so that `import seqvae` costs nothing and the
torch-free parts (`seqvae.data`, `seqvae.serving`) stay torch-free.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqvae.batch import Batch as Batch
    from seqvae.model import SequenceVAE as SequenceVAE
    from seqvae.training.load import load as load

__version__ = "0.1.0"
__all__ = ["Batch", "SequenceVAE", "__version__", "load"]
_HOMES = {
    "SequenceVAE": "seqvae.model",
    "Batch": "seqvae.batch",
    "load": "seqvae.training.load",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (PEP 562: any public name)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'seqvae' has no attribute {name!r}")
