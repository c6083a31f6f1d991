"""One loudness for all recordings, so that a model need not learn how far a microphone was."""

import numpy as np

from seqvae.data.speech.energy import Energy, Floats

LOUDNESS = 0.06
"""Root mean square of what is spoken, above 150 Hz, after scaling."""
PEAK = 0.99
"""Largest sample after scaling; the few above it, of clicks and pops, are clipped."""


def gain_of(energy: Energy) -> float:
    """Factor that gives a recording the common loudness; 1 for silence, which stays silent."""
    loudness = energy.loudness()
    return LOUDNESS / loudness if loudness > 0.0 else 1.0


def scaled(samples: Floats, gain: float) -> Floats:
    """Samples times `gain`, limited to `PEAK`."""
    result: Floats = np.clip(samples * np.float32(gain), -PEAK, PEAK).astype(np.float32, copy=False)
    return result
