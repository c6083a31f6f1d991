"""What flows into and out of an objective, and what an objective is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqvae.objectives.crossed import Crossed
from seqvae.objectives.latents import Latents

CONTENT = "content"
"""The level whose rate is one of time: it has a vector every few steps."""
BIT_RATE = "bit_rate"
"""Name under which the rate of the content, bit/s, is shown and measured."""


Gradient = Literal["naive", "stl", "dreg"]
"""How the encoder learns from importance weights; see `seqvae.objectives.importance.Importance`."""


@dataclass(frozen=True)
class Terms:
    """What the model says of a batch. All in nats per sequence, float32.

    Attributes:
        reconstruction: -log p(x | z_s) summed over steps, shape [S, B] for S samples of z.
        kl_dimensions: per latent level, KL(q(z | x) || p(z)) by dimension, shape [B, D].
        log_ratio: log p(z_s) - log q(z_s | x) summed over levels, shape [S, B].
        seconds: duration of each sequence, shape [B], where steps have one.
        penalties: what further training adds to the loss as it is, by name, shape [B].
        path: zeros [S, B] whose gradient weighs that of each z_s; see
            `seqvae.nn.weighted_gradient`. None: it is the ordinary one.
        latents: samples of posteriors and prior, for objectives that compare them (`Objective.aggregate`).
        crossed: densities of each z given every x of the batch (`Objective.crossed`).
        auxiliary: penalties before their weights, by name, shape [B]: for the log alone.
    """

    reconstruction: Tensor
    kl_dimensions: dict[str, Tensor] = field(default_factory=dict)
    log_ratio: Tensor | None = None
    seconds: Tensor | None = None
    penalties: dict[str, Tensor] = field(default_factory=dict)
    path: Tensor | None = None
    latents: Latents | None = None
    crossed: Crossed | None = None
    auxiliary: dict[str, Tensor] = field(default_factory=dict)

    @property
    def penalty(self) -> Tensor | float:
        """Mean over sequences of all penalties, 0-d; 0.0 where there are none."""
        return sum((cost.mean() for cost in self.penalties.values()), 0.0)

    @property
    def rates(self) -> dict[str, Tensor]:
        """Mean KL of each level in nats, 0-d, and the bit/s of the content; none where one level is all."""
        if self.seconds is None and len(self.kl_dimensions) < 2:
            return {}
        rates = {name: kl.detach().sum(-1).mean() for name, kl in self.kl_dimensions.items()}
        if CONTENT in rates and self.seconds is not None:
            rates[BIT_RATE] = rates[CONTENT] / (self.seconds.mean() * math.log(2))
        return rates

    @property
    def kl(self) -> Tensor:
        """KL summed over dimensions and levels, shape [B]."""
        if not self.kl_dimensions:
            return torch.zeros_like(self.reconstruction[0])
        return torch.stack([kl.sum(-1) for kl in self.kl_dimensions.values()]).sum(0)


@dataclass(frozen=True)
class Loss:
    """What is minimised, and what is shown.

    Attributes:
        total: 0-d tensor to differentiate.
        shown: named 0-d values for the log (nats per sequence unless the name says otherwise).
        opposed: 0-d tensor that the objective's own network minimises (`Objective.opponent`); its gradient
            reaches nothing of the model.
    """

    total: Tensor
    shown: dict[str, Tensor | float]
    opposed: Tensor | None = None


class Objective(ABC):
    """Turns `Terms` into a `Loss`; may adapt itself to the KL it sees (`observe`)."""

    samples: int = 1
    """Samples of z that the model draws for each sequence."""
    gradient: Gradient | None = None
    """How the encoder learns from the samples' weights; None: the objective does not weigh them."""
    aggregate: bool = False
    """Whether all posteriors together are compared with the prior (`Terms.latents`)."""
    crossed: bool = False
    """Whether each z is judged by the posteriors of the whole batch (`Terms.crossed`)."""
    sequences: int = 0
    """Of the training split; the trainer says it. 0: not known, a batch stands for all."""
    opponent: nn.Module | None = None
    """Network of the objective's own, trained against the model; made by `attach`."""
    opponent_rate: float = 0.0
    """Learning rate of the opponent's optimizer."""

    def attach(self, dimension: int, device: torch.device) -> None:  # noqa: B027 (most need nothing)
        """Make what depends on the size of z, before training.

        Args:
            dimension: D.
            device: where the model is.
        """

    @abstractmethod
    def __call__(self, terms: Terms, progress: float) -> Loss:
        """The loss at `progress` (0 at the first step of the run, 1 at its end)."""

    def observe(  # noqa: B027 (most do not adapt)
        self, kl: float, weight: float = 1.0, shown: Mapping[str, float] | None = None
    ) -> None:
        """Learn a batch's mean KL, after each optimiser step.

        Args:
            kl: nats per sequence, averaged over the ranks.
            weight: size of the batch, in any fixed unit: batches of short sequences hold more.
            shown: the means of all that the loss showed, for objectives that look at levels.
        """

    def calibrate(  # noqa: B027 (most do not adapt)
        self, kl: float, measured: Mapping[str, Any] | None = None
    ) -> None:
        """Learn the mean KL of a validation, in nats: without dropout it differs from training's.

        Args:
            kl: nats per sequence.
            measured: all that the validation measured.
        """

    def criterion(self, measured: dict[str, Any]) -> float | None:
        """What of a validation is least for the best weights, where it is not the bound; else None.

        Args:
            measured: all that the validation measured; with `mmd` where `aggregate` is set.
        """
        return None

    def state(self) -> dict[str, Any]:
        """What `observe` has accumulated, for the checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Restore what `state` returned."""


def negative_elbo(terms: Terms, beta: float, kl: Tensor | None = None) -> Loss:
    """-ELBO with KL weighted by `beta` (true nats: both terms summed over steps and dimensions).

    Args:
        terms: the model's terms.
        beta: weight of the KL.
        kl: penalised KL (0-d) when it is not the plain one, as with free bits.
    """
    reconstruction = terms.reconstruction.mean()
    beside = {name: cost.detach().mean() for name, cost in terms.auxiliary.items()}
    if not terms.kl_dimensions:
        return Loss(
            reconstruction + terms.penalty, {"reconstruction": reconstruction.detach(), **beside}
        )
    plain = terms.kl.mean()
    penalised = plain if kl is None else kl
    # With beta = 0 the product would turn an overflowing KL into NaN.
    total = reconstruction + beta * penalised if beta else reconstruction
    shown: dict[str, Tensor | float] = {
        "reconstruction": reconstruction.detach(),
        "kl": plain.detach(),
        "beta": beta,
        **terms.rates,
        **beside,
    }
    return Loss(total + terms.penalty, shown)
