"""A smooth step."""

import math
from dataclasses import dataclass
from typing import final

from seqvae.schedules.schedule import Schedule


@final
@dataclass(frozen=True)
class Sigmoid(Schedule):
    """From `first` to `last` along a logistic curve."""

    first: float = 0.0
    """Value long before `centre`."""
    last: float = 1.0
    """Value long after `centre`."""
    centre: float = 0.25
    """Where the value is half-way, as a fraction of the run."""
    width: float = 0.05
    """Time constant, as a fraction of the run: 88 % of the change lies within 4 widths."""

    def __call__(self, progress: float) -> float:
        """See `Schedule.__call__`."""
        x = (min(1.0, max(0.0, progress)) - self.centre) / max(self.width, 1e-9)
        return self.first + (self.last - self.first) * 0.5 * (1.0 + math.tanh(0.5 * x))
