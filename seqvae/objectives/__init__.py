"""Objectives. A new one: one file here and one line in `ObjectiveChoice`."""

from seqvae.objectives.elbo import Elbo
from seqvae.objectives.free_bits import FreeBits
from seqvae.objectives.level_rates import LevelRates
from seqvae.objectives.objective import Loss, Objective, Terms
from seqvae.objectives.rate_target import RateTarget

TextObjectiveChoice = RateTarget | Elbo | FreeBits
SpeechObjectiveChoice = LevelRates | Elbo
ObjectiveChoice = TextObjectiveChoice | SpeechObjectiveChoice

__all__ = [
    "Elbo",
    "FreeBits",
    "LevelRates",
    "Loss",
    "Objective",
    "ObjectiveChoice",
    "RateTarget",
    "SpeechObjectiveChoice",
    "Terms",
    "TextObjectiveChoice",
]
