"""One dial: the rate, KL in nats per sequence, held by adapting the weight of the KL."""

import math
from dataclasses import dataclass
from typing import Any, Literal, final

import torch

from seqvae.objectives.free_bits import free_bits
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo


@dataclass(frozen=True)
class RateTarget:
    """Minimise reconstruction subject to KL = rate."""

    rate: float = 8.0
    """Nats per sequence that the latent shall carry."""
    controller: Literal["pi", "lagrangian"] = "pi"
    """pi: proportional-integral control of log beta (after ControlVAE, Shao et al. 2020, arXiv
    2004.05988, whose anti-windup never fires; here the integral stops at the limits). lagrangian:
    dual ascent on the multiplier (MDR, Pelsmaeker and Aziz 2019, arXiv 1904.08194), both ways."""
    proportional: float = 1.0
    """PI: change of log beta for a relative error of 1."""
    integral: float = 0.05
    """PI and Lagrangian: change of log beta per step for a relative error of 1."""
    smoothing: float = 0.95
    """Weight of the past in the running mean of the KL that the controller sees."""
    floor: float = 0.0
    """Part of each dimension's equal share, rate / D, that is free of penalty (batch mean), so that
    no dimension dies while others carry the whole rate; 0: off."""
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
        self.low, self.high = (math.log(limit) for limit in config.limits)
        self.integral = math.log(config.start)
        self.recent = _RunningMean(config.smoothing)
        self.long = _RunningMean(1 - (1 - config.smoothing) / 5)
        self.ratio = 1.0
        self.beta = config.start

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        if not self.config.floor or not terms.kl_dimensions:
            return negative_elbo(terms, self.beta)
        kl = torch.cat(list(terms.kl_dimensions.values()), -1)
        penalised = free_bits(kl, self.config.floor * self.config.rate, "batch_dimension")
        return negative_elbo(terms, self.beta, penalised)

    def observe(self, kl: float, weight: float = 1.0) -> None:
        """See `Objective.observe`."""
        if not math.isfinite(kl):
            return
        self.recent.add(kl, weight)
        self.long.add(kl, weight)
        # Clipped, so that one wild batch (KL of thousands at the start) cannot throw beta about.
        error = max(-1.0, min(1.0, self.ratio * self.recent.value / self.config.rate - 1.0))
        proportional = self.config.proportional * error if self.config.controller == "pi" else 0.0
        moved = self.integral + self.config.integral * error
        wanted = moved + proportional
        # Conditional integration: at a limit, move only back inside.
        if self.low <= wanted <= self.high or (wanted > self.high) == (error < 0):
            self.integral = moved
        self.beta = math.exp(max(self.low, min(self.high, self.integral + proportional)))

    def calibrate(self, kl: float) -> None:
        """See `Objective.calibrate`; the rate that is held is that of the model in use.

        Dropout blurs what the encoder says: at 0.1 the KL of a trained model is 4 % above what
        training sees. Half of the difference is taken over at each validation.
        """
        if math.isfinite(kl) and self.long.value > 0:
            seen = max(0.5, min(2.0, kl / self.long.value))
            self.ratio = math.sqrt(self.ratio * seen)

    def state(self) -> dict[str, Any]:
        """See `Objective.state`."""
        return {
            "integral": self.integral,
            "beta": self.beta,
            "ratio": self.ratio,
            "recent": self.recent.state(),
            "long": self.long.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Objective.load_state`."""
        self.integral, self.beta = state["integral"], state["beta"]
        self.ratio = state["ratio"]
        self.recent.load_state(state["recent"])
        self.long.load_state(state["long"])


class _RunningMean:
    """Weighted mean that forgets: over sequences, not over batches, whose sizes differ.

    Batches of long sentences are small and say more; a mean over batches would count them too much.
    """

    def __init__(self, keep: float) -> None:
        self.keep, self.total, self.weight = keep, 0.0, 0.0

    def add(self, value: float, weight: float) -> None:
        self.total = self.keep * self.total + value * weight
        self.weight = self.keep * self.weight + weight

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else 0.0

    def state(self) -> list[float]:
        return [self.total, self.weight]

    def load_state(self, state: list[float]) -> None:
        self.total, self.weight = state
