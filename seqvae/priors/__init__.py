"""Priors. A new one: one file here and one line in `PriorChoice`."""

from seqvae.priors.prior import Prior
from seqvae.priors.standard import Standard

PriorChoice = Standard

__all__ = ["Prior", "PriorChoice", "Standard"]
