"""Priors. A new one: one file here and one line in `PriorChoice`."""

from seqvae.priors.hierarchical import Hierarchical
from seqvae.priors.prior import Prior
from seqvae.priors.standard import Standard

PriorChoice = Standard
StylePriorChoice = Standard | Hierarchical

__all__ = ["Hierarchical", "Prior", "PriorChoice", "Standard", "StylePriorChoice"]
