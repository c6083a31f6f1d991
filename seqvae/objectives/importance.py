"""The importance-weighted bound (IWAE, Burda et al. 2016, arXiv 1509.00519)."""

import math
from dataclasses import dataclass
from typing import final

from seqvae.errors import UserError
from seqvae.objectives.objective import Gradient, Loss, Objective, Terms, negative_elbo


@dataclass(frozen=True)
class Importance:
    """-log mean_k p(x, z_k) / q(z_k | x): tighter than the ELBO, the tighter the more samples."""

    samples: int = 8
    """Samples K of z for each sequence; memory and time grow with it, so lower --tokens-per-batch."""
    gradient: Gradient = "dreg"
    """How the encoder learns; the decoder's gradient is that of the bound in each case. naive: the
    gradient of the bound, which drowns in noise as K grows (Rainforth et al. 2018, arXiv 1802.04537).
    stl: without the score of q, whose mean is 0 for K = 1; for more samples it is biased (sticking the
    landing, Roeder et al. 2017, arXiv 1703.09194). dreg: doubly reparameterised, unbiased, and clearer
    the more samples (Tucker et al. 2019, arXiv 1810.04152, eq. 8)."""

    def __post_init__(self) -> None:
        """Refuse what is no average."""
        if self.samples < 1:
            raise UserError(f"objective importance: samples must be at least 1, got {self.samples}")

    def build(self) -> "ImportanceObjective":
        """The objective."""
        return ImportanceObjective(self)


@final
class ImportanceObjective(Objective):
    """See `Importance`."""

    def __init__(self, config: Importance) -> None:
        self.samples = config.samples
        self.gradient = config.gradient

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        loss = negative_elbo(terms, 1.0)
        if terms.log_ratio is None:
            return loss
        log_weights = terms.log_ratio - terms.reconstruction
        bound = -(log_weights.logsumexp(0) - math.log(len(log_weights))).mean()
        total = bound + terms.penalty
        if terms.path is not None:
            # Nothing is added but w on the way back to z: d bound / dz has it once already.
            total = total + (log_weights.detach().softmax(0) * terms.path).sum()
        return Loss(total, {**loss.shown, "bound": bound.detach()})
