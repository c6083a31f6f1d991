"""Priors. A new one: one file here and one line in `PriorChoice`."""

from seqvae.priors.flow import Flow
from seqvae.priors.hierarchical import Hierarchical
from seqvae.priors.ladder import Ladder
from seqvae.priors.mixture import Mixture
from seqvae.priors.prior import Prior
from seqvae.priors.standard import Standard
from seqvae.priors.vamp import Vamp

PriorChoice = Standard | Mixture | Vamp | Flow | Ladder
FittedPriorChoice = Flow | Mixture
"""What can be fitted to the latents of a finished run."""
StylePriorChoice = Standard | Hierarchical

__all__ = [
    "Flow",
    "Hierarchical",
    "Ladder",
    "Mixture",
    "Prior",
    "PriorChoice",
    "Standard",
    "StylePriorChoice",
    "Vamp",
]
