"""A value that never changes."""

from dataclasses import dataclass
from typing import final

from seqvae.schedules.schedule import Schedule


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """The same value throughout."""

    value: float = 1.0
    """The value."""

    def __call__(self, progress: float) -> float:
        """See `Schedule.__call__`."""
        return self.value
