"""Objectives. A new one: one file here and one line in `ObjectiveChoice`."""

from seqvae.objectives.adversarial import Adversarial
from seqvae.objectives.capacity import Capacity
from seqvae.objectives.elbo import Elbo
from seqvae.objectives.free_bits import FreeBits
from seqvae.objectives.importance import Importance
from seqvae.objectives.info import Info
from seqvae.objectives.latents import Latents, latents_of
from seqvae.objectives.level_rates import LevelRates
from seqvae.objectives.mmd import Mmd
from seqvae.objectives.objective import Gradient, Loss, Objective, Terms
from seqvae.objectives.rate_target import RateTarget
from seqvae.objectives.total_correlation import TotalCorrelation

TextObjectiveChoice = (
    RateTarget
    | Elbo
    | FreeBits
    | Importance
    | Capacity
    | TotalCorrelation
    | Mmd
    | Info
    | Adversarial
)
SpeechObjectiveChoice = LevelRates | Elbo
ObjectiveChoice = TextObjectiveChoice | SpeechObjectiveChoice

__all__ = [
    "Adversarial",
    "Capacity",
    "Elbo",
    "FreeBits",
    "Gradient",
    "Importance",
    "Info",
    "Latents",
    "LevelRates",
    "Loss",
    "Mmd",
    "Objective",
    "ObjectiveChoice",
    "RateTarget",
    "SpeechObjectiveChoice",
    "Terms",
    "TextObjectiveChoice",
    "TotalCorrelation",
    "latents_of",
]
