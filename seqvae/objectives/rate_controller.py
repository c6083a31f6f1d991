"""The weight of a KL that holds it at a rate: feedback on the logarithm of beta."""

import math
from typing import Any, Literal

Kind = Literal["pi", "lagrangian"]


class RateController:
    """Moves beta until what it observes is the rate; the unit of both is the caller's.

    Args:
        rate: what is wanted.
        kind: pi: proportional-integral control of log beta (after ControlVAE, Shao et al. 2020, arXiv
            2004.05988, whose anti-windup never fires; here the integral stops at the limits).
            lagrangian: dual ascent on the multiplier (MDR, Pelsmaeker and Aziz 2019, arXiv
            1904.08194), both ways.
        proportional: of pi, change of log beta for a relative error of 1.
        integral: change of log beta per step for a relative error of 1.
        smoothing: weight of the past in the running mean that is seen.
        limits: least and greatest beta.
        start: first beta.
    """

    def __init__(
        self,
        rate: float,
        *,
        kind: Kind,
        proportional: float,
        integral: float,
        smoothing: float,
        limits: tuple[float, float],
        start: float,
    ) -> None:
        self.rate = rate
        self.proportional = proportional if kind == "pi" else 0.0
        self.gain = integral
        self.low, self.high = (math.log(limit) for limit in limits)
        self.integral = math.log(start)
        self.recent = _RunningMean(smoothing)
        self.long = _RunningMean(1 - (1 - smoothing) / 5)
        self.ratio = 1.0
        self.beta = start

    def observe(self, value: float, weight: float = 1.0) -> None:
        """Learn a batch's mean, which counts as `weight` in any fixed unit."""
        if not math.isfinite(value):
            return
        self.recent.add(value, weight)
        self.long.add(value, weight)
        # Clipped, so that one wild batch (KL of thousands at the start) cannot throw beta about.
        error = max(-1.0, min(1.0, self.ratio * self.recent.value / self.rate - 1.0))
        moved = self.integral + self.gain * error
        wanted = moved + self.proportional * error
        # Conditional integration: at a limit, move only back inside.
        if self.low <= wanted <= self.high or (wanted > self.high) == (error < 0):
            self.integral = moved
        log_beta = self.integral + self.proportional * error
        self.beta = math.exp(max(self.low, min(self.high, log_beta)))

    def calibrate(self, value: float) -> None:
        """Learn the mean of a validation: the rate that is held is that of the model in use.

        Dropout blurs what the encoder says: at 0.1 the KL of a trained model is 4 % above what
        training sees. Half of the difference is taken over at each validation.
        """
        if math.isfinite(value) and self.long.value > 0:
            seen = max(0.5, min(2.0, value / self.long.value))
            self.ratio = math.sqrt(self.ratio * seen)

    def state(self) -> dict[str, Any]:
        """What has been learned, as JSON values."""
        return {
            "integral": self.integral,
            "beta": self.beta,
            "ratio": self.ratio,
            "recent": self.recent.state(),
            "long": self.long.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
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
