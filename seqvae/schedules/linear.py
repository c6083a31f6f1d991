"""A straight ramp, then flat."""

from dataclasses import dataclass
from typing import final

from seqvae.schedules.schedule import Schedule


@final
@dataclass(frozen=True)
class Linear(Schedule):
    """From `first` to `last` in a straight line (Bowman et al. 2016, arXiv 1511.06349)."""

    first: float = 0.0
    """Value until `begin`."""
    last: float = 1.0
    """Value from `end` on."""
    begin: float = 0.0
    """Where the ramp begins, as a fraction of the run."""
    end: float = 0.25
    """Where the ramp ends, as a fraction of the run."""

    def __call__(self, progress: float) -> float:
        """See `Schedule.__call__`."""
        span = self.end - self.begin
        along = 1.0 if span <= 0 else (progress - self.begin) / span
        along = min(1.0, max(0.0, along)) if progress >= self.begin else 0.0
        return self.first + (self.last - self.first) * along
