"""What is done to frames before an encoder reads them, to train a denoiser."""

from dataclasses import dataclass

import numpy as np

from seqvae.data.frames.sequences import Floats, Longs
from seqvae.errors import UserError


@dataclass(frozen=True)
class FrameNoise:
    """Noise in what the encoder reads; what is to be written stays clean (Im et al. 2017, arXiv 1511.06406)."""

    gaussian: float = 0.0
    """Normal noise, in standard deviations of all numbers of the corpus."""
    drop: float = 0.0
    """Probability that a number is replaced by the mean of its feature."""

    def __post_init__(self) -> None:
        """Refuse what is no noise, naming the field."""
        if not 0.0 <= self.gaussian <= 100.0:
            raise UserError(f"noise gaussian must be from 0 to 100, got {self.gaussian}")
        if not 0.0 <= self.drop < 1.0:
            raise UserError(f"noise drop must be from 0 to below 1, got {self.drop}")

    @property
    def is_active(self) -> bool:
        """Whether it does anything."""
        return self.gaussian > 0.0 or self.drop > 0.0


def corrupt_frames(
    values: Floats,
    lengths: Longs,
    noise: FrameNoise,
    mean: Floats,
    std: Floats,
    generator: np.random.Generator,
) -> Floats:
    """A noisy copy of frames [B, T, F], zero at padding.

    Args:
        values: the frames.
        lengths: valid ones of each row, [B].
        noise: how much.
        mean: of each feature, [F].
        std: its standard deviation, [F].
        generator: of the noise.
    """
    spread = float(np.sqrt(np.mean(np.square(std, dtype=np.float64))))
    noisy = values + noise.gaussian * spread * generator.standard_normal(values.shape, np.float32)
    noisy = np.where(generator.random(values.shape) < noise.drop, mean, noisy)
    real = np.arange(values.shape[1])[None] < lengths[:, None]
    return np.where(real[..., None], noisy, 0.0).astype(np.float32)
