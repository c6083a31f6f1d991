"""Does this machine make the sounds that a speech bundle was exported with?"""

from collections.abc import Callable, Sequence

import numpy as np

from seqvae.data.speech.energy import Floats
from seqvae.errors import UserError
from seqvae.export.bundle_sounds import GoldenSound
from seqvae.serving.sounds import Outputs, SoundRow

NEAR, FAR = 30.0, 15.0
"""Least signal-to-noise ratio in decibels, on a processor and on a GPU, which may round to 10 bits. Another
processor's rounding leaves 64 dB or more of a learned vocoder, and 45 of Griffin-Lim, whose iterations enlarge it;
a wrong weight leaves 10."""
SHARE = 0.75
"""Share of the sounds that must be that near: one pitch decided the other way is a sound that differs."""

_DTYPES = {"speaker": np.int64, "seed": np.int64}


def check_golden_sounds(
    run: Callable[[Sequence[SoundRow]], list[Outputs]],
    sounds: Sequence[GoldenSound],
    variant: str,
    least: float,
) -> None:
    """Compare with the golden sounds of a bundle.

    Args:
        run: computes rows.
        sounds: of `seqvae.export.bundle_sounds`.
        variant: whose outputs to compare with.
        least: decibels.

    Raises:
        UserError: too many differ; names the worst.
    """
    known = [sound for sound in sounds if variant in sound.written]
    rows = [
        SoundRow(
            sound.samples,
            {
                name: np.array([value], _DTYPES.get(name, np.float32))
                for name, value in sound.options.items()
            },
        )
        for sound in known
    ]
    found = [outputs["converted"] for outputs in run(rows)]
    ratios = [
        decibels(one, sound.written[variant]) for one, sound in zip(found, known, strict=True)
    ]
    differ = sum(ratio < least for ratio in ratios)
    if differ > int((1 - SHARE) * len(known)):
        worst = int(np.argmin(ratios))
        raise UserError(
            f"golden check: {differ} of {len(known)} sounds of variant {variant} differ from those at "
            f"export; the worst, {known[worst].name!r}, agrees within {ratios[worst]:.0f} dB, and "
            f"{least:g} are needed; export the bundle again with this version of onnxruntime"
        )


def decibels(found: Floats, wanted: Floats) -> float:
    """Signal-to-noise ratio of `found` as an image of `wanted`, at most 300; -300 of another shape."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return -300.0
    noise = float(np.square(found.astype(np.float64) - wanted).sum())
    signal = float(np.square(wanted.astype(np.float64)).sum())
    if noise == 0.0:
        return 300.0
    return min(300.0, 10.0 * float(np.log10(max(signal, 1e-30) / noise)))
