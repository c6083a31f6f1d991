"""What every referee hears: 16 kHz, one channel, one loudness."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

Samples = np.ndarray[Any, np.dtype[np.float32]]

RATE = 16_000
# The loudness at which the reference values were measured; DNSMOS depends on it, the others hardly do.
RMS = 0.06
PEAK = 0.99
# Below this there is nothing to judge.
SILENCE = 1e-5


@lru_cache(maxsize=256)
def hear(path: Path) -> Samples:
    """A file as float32 [N] at 16 kHz, scaled to RMS 0.06 with no peak above 0.99.

    Raises:
        ValueError: it cannot be decoded, is empty or silent, or has NaN or infinite samples.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path}: not readable as sound: {error}") from None
    mono = samples.mean(axis=1)
    if rate != RATE:
        mono = _resample(mono, rate)
    if not np.isfinite(mono).all():
        raise ValueError(f"{path}: has samples that are not finite")
    level = float(np.sqrt(np.mean(np.square(mono), dtype=np.float64))) if len(mono) else 0.0
    if level < SILENCE:
        raise ValueError(f"{path}: {'empty' if not len(mono) else 'silent'}")
    scale = min(RMS / level, PEAK / float(np.abs(mono).max()))
    return np.asarray(mono * scale, np.float32)


def digest(*paths: Path) -> str:
    """SHA-256 of the files' contents, in order."""
    found = hashlib.sha256()
    for path in paths:
        found.update(_content(path, path.stat().st_mtime_ns))
    return found.hexdigest()


@lru_cache(maxsize=4096)
def _content(path: Path, changed: int) -> bytes:
    del changed  # part of the cache's key
    return hashlib.sha256(path.read_bytes()).digest()


def _resample(mono: np.ndarray, rate: int) -> Any:  # noqa: ANN401
    import soxr

    return soxr.resample(mono, rate, RATE)
