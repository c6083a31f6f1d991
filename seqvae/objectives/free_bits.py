"""Free bits: part of the KL costs nothing, in the six variants that papers and code use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor

from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo
from seqvae.schedules import Constant, ScheduleChoice

Variant = Literal["dimension", "batch_dimension", "total", "batch_total", "level", "gate"]


@dataclass(frozen=True)
class FreeBits:
    """ELBO whose KL is not penalised below a floor."""

    nats: float = 8.0
    """The floor for the whole latent, in nats per sequence."""
    variant: Variant = "batch_dimension"
    """Where the floor acts. dimension: each dimension of each sequence has nats / D free
    (max(floor, KL_d)). batch_dimension: the same on the batch mean of each dimension (Kingma et al.
    2016, arXiv 1606.04934, sec. C.8). total: each sequence's summed KL. batch_total: the batch mean
    of the summed KL. level: the batch mean of each of L levels has nats / L free, so that a level
    that the others could spare is used (posterior:ladder; the groups of Kingma et al.). gate: like
    dimension, but dimensions below the floor are dropped from the loss's value as well (Li et al.
    2019, arXiv 1909.00868): the same gradient."""
    beta: ScheduleChoice = field(default_factory=Constant)
    """Weight of the KL over the run."""

    def build(self) -> "FreeBitsObjective":
        """The objective."""
        return FreeBitsObjective(self)


@final
class FreeBitsObjective(Objective):
    """See `FreeBits`."""

    def __init__(self, config: FreeBits) -> None:
        self.config = config

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        if not terms.kl_dimensions:
            return negative_elbo(terms, 0.0)
        penalised = free_bits(
            list(terms.kl_dimensions.values()), self.config.nats, self.config.variant
        )
        return negative_elbo(terms, self.config.beta(progress), penalised)


def free_bits(levels: Sequence[Tensor], nats: float, variant: Variant) -> Tensor:
    """The penalised KL.

    Args:
        levels: nats per dimension of each latent level, shapes [B, D_1], [B, D_2], ...
        nats: the floor, summed over dimensions and levels.
        variant: see `FreeBits.variant`.

    Returns:
        0-d tensor in nats; never below the floor, but for `gate`.
    """
    kl = torch.cat(list(levels), -1)
    each = nats / kl.shape[1]
    match variant:
        case "dimension":
            return kl.clamp_min(each).sum(1).mean()
        case "batch_dimension":
            return kl.mean(0).clamp_min(each).sum()
        case "total":
            return kl.sum(1).clamp_min(nats).mean()
        case "batch_total":
            return kl.sum(1).mean().clamp_min(nats)
        case "level":
            means = torch.stack([level.sum(1).mean() for level in levels])
            return means.clamp_min(nats / len(levels)).sum()
        case "gate":
            return (kl * (kl > each)).sum(1).mean()
