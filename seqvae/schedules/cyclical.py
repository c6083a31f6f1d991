"""Repeated ramps."""

from dataclasses import dataclass
from typing import final

from seqvae.schedules.schedule import Schedule


@final
@dataclass(frozen=True)
class Cyclical(Schedule):
    """Ramps from `first` to `last` again and again (Fu et al. 2019, arXiv 1903.10145)."""

    first: float = 0.0
    """Value at the start of each cycle."""
    last: float = 1.0
    """Value at the end of each ramp."""
    cycles: int = 4
    """Number of cycles in the run."""
    ramp: float = 0.5
    """Part of a cycle spent rising; the rest stays at `last`."""

    def __call__(self, progress: float) -> float:
        """See `Schedule.__call__`."""
        if progress >= 1.0:
            return self.last
        within = (max(0.0, progress) * self.cycles) % 1.0
        along = 1.0 if self.ramp <= 0 else min(1.0, within / self.ramp)
        return self.first + (self.last - self.first) * along
