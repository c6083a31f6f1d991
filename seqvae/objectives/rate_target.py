"""One dial: the rate, KL in nats per sequence, held by adapting the weight of the KL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from seqvae.objectives.free_bits import Variant, free_bits
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo
from seqvae.objectives.rate_controller import Kind, RateController


@dataclass(frozen=True)
class RateTarget:
    """Minimise reconstruction subject to KL = rate."""

    rate: float = 8.0
    """Nats per sequence that the latent shall carry."""
    controller: Kind = "pi"
    """pi: proportional-integral control of log beta. lagrangian: dual ascent on the multiplier. Their
    sources: seqvae/objectives/rate_controller.py."""
    proportional: float = 1.0
    """PI: change of log beta for a relative error of 1."""
    integral: float = 0.05
    """PI and Lagrangian: change of log beta per step for a relative error of 1."""
    smoothing: float = 0.95
    """Weight of the past in the running mean of the KL that the controller sees."""
    floor: float = 0.0
    """Part of each dimension's equal share, rate / D, that is free of penalty (batch mean), so that
    no dimension dies while others carry the whole rate; 0: off. Under a prior whose KL is one number,
    with no dimensions (mixture, flow), it is the same part of the whole rate."""
    floor_over: Literal["dimension", "level"] = "dimension"
    """What has an equal share of the rate that `floor` is a part of: each dimension of z, or each level
    of a ladder, so that no level is empty while the dimensions of each are free to specialise."""
    limits: tuple[float, float] = (1e-3, 10.0)
    """Least and greatest beta."""
    start: float = 0.1
    """First beta: below 1, so that the decoder meets an informative latent from the start."""

    def build(self) -> "RateTargetObjective":
        """The objective."""
        return RateTargetObjective(self)


@final
class RateTargetObjective(Objective):
    """See `RateTarget`."""

    def __init__(self, config: RateTarget) -> None:
        self.config = config
        self.control = RateController(
            config.rate,
            kind=config.controller,
            proportional=config.proportional,
            integral=config.integral,
            smoothing=config.smoothing,
            limits=config.limits,
            start=config.start,
        )

    @property
    def beta(self) -> float:
        """Weight of the KL."""
        return self.control.beta

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        if not self.config.floor or not terms.kl_dimensions:
            return negative_elbo(terms, self.beta)
        free = self.config.floor * self.config.rate
        over: Variant = "level" if self.config.floor_over == "level" else "batch_dimension"
        penalised = free_bits(list(terms.kl_dimensions.values()), free, over)
        return negative_elbo(terms, self.beta, penalised)

    def observe(
        self, kl: float, weight: float = 1.0, shown: Mapping[str, float] | None = None
    ) -> None:
        """See `Objective.observe`."""
        self.control.observe(kl, weight)

    def calibrate(self, kl: float, measured: Mapping[str, Any] | None = None) -> None:
        """See `Objective.calibrate`."""
        self.control.calibrate(kl)

    def state(self) -> dict[str, Any]:
        """See `Objective.state`."""
        return self.control.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Objective.load_state`."""
        self.control.load_state(state)
