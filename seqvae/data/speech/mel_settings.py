"""How sound becomes log-mel frames: stored with every dataset, run and exported file, and compared."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqvae.errors import UserError

# Slaney's Auditory Toolbox (1998): 200/3 Hz a mel below 1000 Hz, 27 mels for a factor of 6.4 above.
_HERTZ_PER_MEL = 200.0 / 3.0
_KNEE = 1000.0
_MELS_PER_NEPER = 27.0 / math.log(6.4)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MelSettings:
    """A log-mel spectrogram: periodic Hann window, magnitudes, Slaney's scale, natural logarithm.

    A sound of N samples has exactly N // hop frames: it is padded by (n_fft - hop) / 2 samples on
    both sides, mirrored, and not centred further (as the HiFi-GAN family of vocoders does).
    """

    sample_rate: int = 16_000
    """Samples per second, Hz."""
    n_fft: int = 1024
    """Length of the Fourier transform in samples."""
    hop: int = 256
    """Samples from one frame to the next; 256 at 16 kHz are 16 ms, 62.5 frames per second."""
    window: int = 1024
    """Length of the Hann window in samples, at most `n_fft`."""
    mels: int = 80
    """Number of mel bins."""
    low: float = 0.0
    """Lower edge of the lowest bin, Hz."""
    high: float = 8000.0
    """Upper edge of the highest bin, Hz, at most half of the sample rate."""
    floor: float = 1e-5
    """Least magnitude of a bin before the logarithm."""

    def __post_init__(self) -> None:
        """Refuse what gives no spectrogram, or one of a size that no sound needs."""
        for name, least, most in (
            ("sample_rate", 1000, 384_000),
            ("n_fft", 16, 65_536),
            ("hop", 1, self.n_fft),
            ("window", 1, self.n_fft),
            ("mels", 1, 512),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UserError(f"mel settings {name}: {value} is not from {least} to {most}")
        if (self.n_fft - self.hop) % 2:
            raise UserError(
                f"mel settings hop: n_fft {self.n_fft} - hop {self.hop} is odd; frames need an even "
                "number of samples around them"
            )
        if not 0.0 <= self.low < self.high <= self.sample_rate / 2:
            raise UserError(
                f"mel settings low {self.low:g}, high {self.high:g}: need 0 <= low < high <= "
                f"{self.sample_rate / 2:g} Hz, half of the sample rate"
            )
        if not 0.0 < self.floor < 1.0:
            raise UserError(f"mel settings floor: {self.floor} is not between 0 and 1")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def bins(self) -> int:
        """Frequencies of the Fourier transform, n_fft // 2 + 1."""
        return self.n_fft // 2 + 1

    @property
    def edge(self) -> int:
        """Samples that are mirrored on each side."""
        return (self.n_fft - self.hop) // 2


def hertz_to_mel(hertz: Floats) -> Floats:
    """Slaney's mel scale: linear below 1000 Hz, logarithmic above."""
    knee = _KNEE / _HERTZ_PER_MEL
    above = knee + np.log(np.maximum(hertz, _KNEE) / _KNEE) * _MELS_PER_NEPER
    return np.where(hertz < _KNEE, hertz / _HERTZ_PER_MEL, above)


def mel_to_hertz(mel: Floats) -> Floats:
    """The inverse of `hertz_to_mel`."""
    knee = _KNEE / _HERTZ_PER_MEL
    above = _KNEE * np.exp((np.maximum(mel, knee) - knee) / _MELS_PER_NEPER)
    return np.where(mel < knee, mel * _HERTZ_PER_MEL, above)


def filterbank(settings: MelSettings) -> npt.NDArray[np.float32]:
    """Triangles over the Fourier bins, each of area 1 Hz (Slaney's norm), float32 [mels, bins]."""
    ends = hertz_to_mel(np.array([settings.low, settings.high]))
    corners = mel_to_hertz(np.linspace(ends[0], ends[1], settings.mels + 2))
    frequencies = np.linspace(0.0, settings.sample_rate / 2, settings.bins)
    widths = np.diff(corners)
    distance = corners[:, None] - frequencies[None, :]
    rising = -distance[:-2] / widths[:-1, None]
    falling = distance[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = 2.0 / (corners[2:] - corners[:-2])
    return (triangles * area[:, None]).astype(np.float32)
