"""What a schedule is: a value for every moment of a run."""

from abc import ABC, abstractmethod


class Schedule(ABC):
    """A function of `progress`: 0 at the first step of a run, 1 at its end."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The value at `progress`, which is clamped to [0, 1]."""
