"""Objectives. A new one: one file here and one line in `ObjectiveChoice`."""

from seqvae.objectives.elbo import Elbo
from seqvae.objectives.free_bits import FreeBits
from seqvae.objectives.objective import Loss, Objective, Terms
from seqvae.objectives.rate_target import RateTarget

ObjectiveChoice = RateTarget | Elbo | FreeBits

__all__ = ["Elbo", "FreeBits", "Loss", "Objective", "ObjectiveChoice", "RateTarget", "Terms"]
