"""Mean and standard deviation of frames, one shard after the other."""

from typing import Any

import numpy as np
import numpy.typing as npt

# Of the deviation of all numbers together: a feature that varies less (the corner of an image) is not blown up.
LEAST_PART = 0.01


class Moments:
    """Count, mean and squared deviations of every feature, merged exactly (Chan et al. 1983)."""

    def __init__(self, features: int) -> None:
        self.count = 0
        self.mean = np.zeros(features)
        self.squares = np.zeros(features)

    def add(self, frames: npt.NDArray[Any]) -> None:
        """Frames [T, F]."""
        if not len(frames):
            return
        values = frames.astype(np.float64)
        mean = values.mean(0)
        moved, total = mean - self.mean, self.count + len(values)
        self.squares += ((values - mean) ** 2).sum(0)
        self.squares += moved**2 * (self.count * len(values) / total)
        self.mean += moved * (len(values) / total)
        self.count = total

    def deviation(self) -> npt.NDArray[np.float64]:
        """Standard deviation of each feature; of those that hardly vary, that of all numbers; 1 if none vary."""
        own = np.sqrt(self.squares / max(self.count, 1))
        overall = float(np.sqrt((own**2).mean() + self.mean.var()))
        if overall == 0.0:
            return np.ones_like(own)
        return np.where(own < LEAST_PART * overall, overall, own)
