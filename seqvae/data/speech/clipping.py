"""How much of a recording is clipped: runs of samples that stand at its highest value."""

import numpy as np

from seqvae.data.speech.energy import Floats

# Samples at the peak in a row that are no coincidence, and how near to it they stand.
_RUN = 3
_NEAR = 1e-4
# Below this peak there is nothing that could have been clipped.
_QUIET = 0.05


class ClipMeter:
    """Counts clipped samples of a recording that comes in blocks.

    Clipping leaves plateaus at the peak, be it full scale or less since somebody turned it down later.

    Attributes:
        share: part of the samples that is clipped, of all channels together.
    """

    def __init__(self) -> None:
        self._peak, self._clipped, self._total = 0.0, 0, 0

    def update(self, samples: Floats) -> None:
        """Take in the next samples, float32 [n, channels]."""
        loud = np.abs(samples)
        peak = float(loud.max(initial=0.0))
        self._total += samples.size
        if peak < self._peak * (1.0 - _NEAR):
            return
        if peak > self._peak * (1.0 + _NEAR):
            self._clipped = 0
        self._peak = max(peak, self._peak)
        at_peak = loud >= self._peak * (1.0 - _NEAR)
        # A run ends with its channel, whose samples stand in a column.
        ends = np.zeros((1, samples.shape[1]), np.bool_)
        column = np.concatenate([ends, at_peak, ends]).T.reshape(-1)
        edges = np.flatnonzero(np.diff(column.astype(np.int8))).reshape(-1, 2)
        runs = edges[:, 1] - edges[:, 0]
        self._clipped += int(runs[runs >= _RUN].sum())

    @property
    def share(self) -> float:
        """See the class."""
        return self._clipped / self._total if self._peak >= _QUIET else 0.0
