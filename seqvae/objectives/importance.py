"""The importance-weighted bound (Burda et al. 2016, arXiv 1509.00519)."""

import math
from dataclasses import dataclass
from typing import final

from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo


@dataclass(frozen=True)
class ImportanceWeighted:
    """-log mean_k p(x, z_k) / q(z_k | x): tighter than the ELBO, the tighter the more samples."""

    samples: int = 8
    """Samples K of z for each sequence."""

    def build(self) -> "ImportanceWeightedObjective":
        """The objective."""
        return ImportanceWeightedObjective(self)


@final
class ImportanceWeightedObjective(Objective):
    """See `ImportanceWeighted`."""

    def __init__(self, config: ImportanceWeighted) -> None:
        self.samples = config.samples

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        loss = negative_elbo(terms, 1.0)
        if terms.log_ratio is None:
            return loss
        weights = terms.log_ratio - terms.reconstruction
        bound = -(weights.logsumexp(0) - math.log(len(weights))).mean()
        return Loss(bound + terms.penalty, {**loss.shown, "bound": bound.detach()})
