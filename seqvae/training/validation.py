"""What a validation is, and which of them are the best."""

from abc import ABC, abstractmethod
from typing import Any

from seqvae.latent_model import LatentModel
from seqvae.objectives import LevelRates, ObjectiveChoice, RateTarget

# Part of the wanted rate by which that of the best weights may differ.
TOLERANCE = 0.05


class Validation(ABC):
    """Measures a model on a fixed part of the validation split."""

    criterion: str = "bound"
    """Which number is least for the best weights."""

    @abstractmethod
    def measure(self, model: LatentModel) -> dict[str, Any]:
        """Numbers and lists of numbers by name; `criterion` among them."""

    @abstractmethod
    def in_words(self, measured: dict[str, Any]) -> str:
        """The numbers of a validation in a line."""


def at_rate(objective: ObjectiveChoice, measured: dict[str, Any]) -> bool:
    """Whether a model carries what was asked for: before, a lower loss only says that z is still silent."""
    if isinstance(objective, RateTarget) and "kl" in measured:
        return bool(abs(measured["kl"] / objective.rate - 1) <= TOLERANCE)
    if isinstance(objective, LevelRates):
        return bool(abs(measured["bit_rate"] / objective.content - 1) <= TOLERANCE)
    return True
