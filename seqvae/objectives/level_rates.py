"""A rate for each level of a speech model: content in bits per second, style in nats per recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from seqvae.objectives.objective import BIT_RATE, CONTENT, Loss, Objective, Terms
from seqvae.objectives.rate_controller import Kind, RateController

BETA = "beta_"
"""Begins the names under which the weights of the levels are shown."""


@dataclass(frozen=True)
class LevelRates:
    """Minimise reconstruction subject to a rate of the content and one of the levels above it."""

    content: float = 800.0
    """Bits per second that the content shall carry: more is clearer speech, less is less of the voice that
    said it."""
    style: float = 16.0
    """Nats per sequence that each level above the content shall carry."""
    controller: Kind = "pi"
    """pi: proportional-integral control of log beta. lagrangian: dual ascent on the multiplier."""
    proportional: float = 0.3
    """PI: change of log beta for a relative error of 1."""
    integral: float = 0.01
    """PI and Lagrangian: change of log beta per step for a relative error of 1."""
    smoothing: float = 0.95
    """Weight of the past in the running mean of the rate that the controller sees."""
    limits: tuple[float, float] = (1e-3, 100.0)
    """Least and greatest beta."""
    start: float = 0.3
    """First beta."""

    def build(self) -> "LevelRatesObjective":
        """The objective."""
        return LevelRatesObjective(self)


@final
class LevelRatesObjective(Objective):
    """See `LevelRates`."""

    def __init__(self, config: LevelRates) -> None:
        self.content, self.style = (
            RateController(
                rate,
                kind=config.controller,
                proportional=config.proportional,
                integral=config.integral,
                smoothing=config.smoothing,
                limits=config.limits,
                start=config.start,
            )
            for rate in (config.content, config.style)
        )

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        reconstruction = terms.reconstruction.mean()
        total: Tensor = reconstruction + terms.penalty
        shown: dict[str, Tensor | float] = {"reconstruction": reconstruction.detach()}
        if not terms.kl_dimensions:
            return Loss(total, shown)
        plain = torch.zeros_like(reconstruction)
        for name, dimensions in terms.kl_dimensions.items():
            kl = dimensions.sum(-1).mean()
            beta = self._of(name).beta
            total = total + beta * kl
            plain = plain + kl.detach()
            shown |= {name: kl.detach(), f"{BETA}{name}": beta}
        shown |= terms.rates
        shown |= {f"{name}_penalty": cost.mean().detach() for name, cost in terms.penalties.items()}
        # One number for all levels: what a nat cost on the average.
        weighted = (total - reconstruction - terms.penalty).detach()
        return Loss(total, {**shown, "kl": plain, "beta": float(weighted / plain.clamp_min(1e-9))})

    def observe(
        self, kl: float, weight: float = 1.0, shown: Mapping[str, float] | None = None
    ) -> None:
        """See `Objective.observe`; without `shown` all of the KL is that of the level above."""
        if shown is None:
            self.style.observe(kl, weight)
            return
        if BIT_RATE in shown:
            self.content.observe(shown[BIT_RATE], weight)
        levels = [name.removeprefix(BETA) for name in shown if name.startswith(BETA)]
        for name in levels:
            if name != CONTENT:
                self.style.observe(shown[name], weight)

    def calibrate(self, kl: float, measured: Mapping[str, Any] | None = None) -> None:
        """See `Objective.calibrate`.

        The style's rate is that of crops: whole recordings tell more of a voice.
        """
        if measured is not None and BIT_RATE in measured:
            self.content.calibrate(measured[BIT_RATE])

    def state(self) -> dict[str, Any]:
        """See `Objective.state`."""
        return {"content": self.content.state(), "style": self.style.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Objective.load_state`."""
        self.content.load_state(state["content"])
        self.style.load_state(state["style"])

    def _of(self, level: str) -> RateController:
        return self.content if level == CONTENT else self.style
