"""Random filters: the same words through another microphone, room or throat.

The content encoder reads filtered frames in training while the decoder writes the true ones, so that it does not
rely on the colour of a voice.
"""

import numpy as np
import numpy.typing as npt

CURVES = 6
"""Cosines over the mel axis that a filter is made of: a level, a tilt and four waves up to 2.5 periods long."""


def filter_curves(
    generator: np.random.Generator, count: int, mels: int, amount: float
) -> npt.NDArray[np.float32]:
    """What filters add to each bin of log-mel frames, float32 [count, mels].

    Args:
        generator: source of randomness.
        count: how many filters.
        mels: bins.
        amount: root mean square of a curve over filters and bins.
    """
    place = (np.arange(mels) + 0.5) / mels
    basis = np.cos(np.pi * np.arange(CURVES)[:, None] * place)
    basis /= np.sqrt(np.square(basis).mean(1, keepdims=True) * CURVES)
    weights = amount * generator.standard_normal((count, CURVES))
    return (weights @ basis).astype(np.float32)
