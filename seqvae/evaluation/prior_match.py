"""How far all posteriors together are from the prior, without a density: for any prior that can be sampled."""

import torch

from seqvae.objectives.latents import latents_of
from seqvae.objectives.mmd import mean_mmd
from seqvae.posteriors import Posterior
from seqvae.priors import Prior


def prior_mmd(posterior: Posterior, prior: Prior, seed: int = 0) -> float:
    """MMD of the mixture of the N rows' posteriors and the prior; see `seqvae.objectives.mmd.mmd`.

    Around 0, and as often below it, where they are the same.

    Args:
        posterior: of N sequences, one sample each.
        prior: N samples.
        seed: fixes them.
    """
    with torch.no_grad():
        seeds = torch.tensor([seed], device=posterior.mean.device)
        return float(mean_mmd(latents_of(posterior, prior, posterior.sample(seeds), seeds)))
