"""What is computed: one reference in torch per operation, which is the truth for every kernel."""

from seqvae.ops.dispatch import explain, use
from seqvae.ops.gaussian_latent import FreeBits, gaussian_kl, gaussian_latent
from seqvae.ops.philox import normal, uniform
from seqvae.ops.sample_latent import kl_rows, sample_latent

__all__ = [
    "FreeBits",
    "explain",
    "gaussian_kl",
    "gaussian_latent",
    "kl_rows",
    "normal",
    "sample_latent",
    "uniform",
    "use",
]
