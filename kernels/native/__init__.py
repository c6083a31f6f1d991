"""The door to the C++ library: numpy in, numpy out, nothing of torch.

The library is built by ``pip install`` (``make setup``) from the top-level CMakeLists.txt. What each
function computes is defined by its reference in ``seqvae/ops``.
"""

from seqvae.kernels.native.gaussian import (
    gaussian_latent,
    gaussian_latent_backward,
    kl_rows,
    sample_latent,
)
from seqvae.kernels.native.loader import available, library, version
from seqvae.kernels.native.loader import path as _path

__all__ = [
    "_path",
    "available",
    "gaussian_latent",
    "gaussian_latent_backward",
    "kl_rows",
    "library",
    "sample_latent",
    "version",
]
