"""What is left of the noise, against the clean recording, sample by sample: SI-SDR, STOI, PESQ."""

from typing import Any

import numpy as np

from seqvae.evaluation.referees.sound import RATE, Samples

NEEDS = ("pystoi", "pesq")
# Farther apart than this, the recordings are not of one thing.
MOST_APART = RATE // 10


def judge(sound: Samples, clean: Samples) -> dict[str, Any]:
    """`si_sdr` (dB), `stoi` (0 to 1), `pesq` (wide band, 1 to 4.64).

    Raises:
        ValueError: lengths that differ by more than 0.1 s, or no speech in the sound.
    """
    if abs(len(sound) - len(clean)) > MOST_APART:
        lengths = f"{len(sound) / RATE:.2f} s and {len(clean) / RATE:.2f} s"
        raise ValueError(f"{lengths}: not aligned with its clean recording")
    size = min(len(sound), len(clean))
    sound, clean = sound[:size], clean[:size]
    from pesq import PesqError, pesq
    from pystoi import stoi

    found = {"si_sdr": si_sdr(sound, clean), "stoi": float(stoi(clean, sound, RATE))}
    try:
        found["pesq"] = float(pesq(RATE, clean, sound, "wb"))
    except PesqError as error:
        raise ValueError(f"PESQ: {error}") from None
    return found


def si_sdr(sound: Samples, clean: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio, dB: Le Roux et al., "SDR - half-baked or well done?", 2019."""
    got, true = (np.asarray(x, np.float64) - x.mean() for x in (sound, clean))
    along = (got @ true) / (true @ true) * true
    return float(10 * np.log10((along @ along) / max(float(np.sum((got - along) ** 2)), 1e-20)))
