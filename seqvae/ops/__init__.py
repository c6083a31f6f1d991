"""What is computed: one reference in torch per operation, which is the truth for every kernel."""

from seqvae.ops.gaussian_latent import gaussian_kl, gaussian_latent
from seqvae.ops.philox import normal, uniform

__all__ = ["gaussian_kl", "gaussian_latent", "normal", "uniform"]
