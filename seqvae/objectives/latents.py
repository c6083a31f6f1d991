"""Samples of all posteriors and of the prior, side by side."""

from dataclasses import dataclass

from torch import Tensor

from seqvae.posteriors import Posterior
from seqvae.priors import Prior


@dataclass(frozen=True)
class Latents:
    """Samples for objectives that compare all posteriors together with the prior, float32.

    Attributes:
        posterior: one of each sequence's posterior, S times, shape [S, B, D].
        prior: as many of the prior, of noise of their own, shape [S, B, D].
        log_variances: of posteriors that are Gaussian in each dimension given those before, [..., B, D].
    """

    posterior: Tensor
    prior: Tensor
    log_variances: Tensor | None = None

    @property
    def off_unit_variance(self) -> Tensor | float:
        """How far log-variances are off 0, summed over dimensions, mean over sequences; 0.0 without them."""
        return 0.0 if self.log_variances is None else self.log_variances.abs().sum(-1).mean()


def latents_of(posterior: Posterior, prior: Prior, z: Tensor, seed: Tensor) -> Latents:
    """Samples `z` [S, B, D] of a posterior, drawn under `seed`, with as many of the prior."""
    # The next key of Philox: under the same one the prior's noise would be that of z.
    drawn = prior.sample(seed + 1, z[..., 0].numel()).view_as(z)
    gaussian = posterior.conditional(z)
    return Latents(z, drawn, None if gaussian is None else gaussian[1])
