"""Sequences of frames as a picture: frames are rows of grey pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from seqvae.data.frames.sequences import Floats
from seqvae.errors import UserError

# The smallest side of a sequence in a picture; small ones are shown with larger pixels.
_SIDE = 48


def contact_sheet(
    rows: Sequence[Sequence[Floats]], least: float = 0.0, greatest: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Grey values [height, width] of sequences [T, F] side by side, `rows` of them.

    Args:
        rows: the sequences; shorter ones end in the background.
        least: number that is black.
        greatest: number that is white.
    """
    every = [values for row in rows for values in row]
    frames, features = max(len(v) for v in every), every[0].shape[1]
    scale = max(1, _SIDE // max(frames, features))
    high, wide = frames * scale + 2, features * scale + 2
    sheet = np.full((high * len(rows), wide * max(len(row) for row in rows)), 64, np.uint8)
    span = max(greatest - least, 1e-12)
    for i, row in enumerate(rows):
        for j, values in enumerate(row):
            grey = np.clip((values - least) / span, 0.0, 1.0) * 255.0
            large = np.kron(np.rint(grey), np.ones((scale, scale))).astype(np.uint8)
            top, left = i * high + 1, j * wide + 1
            sheet[top : top + large.shape[0], left : left + large.shape[1]] = large
    return sheet


def in_rows(sequences: Sequence[Floats], columns: int) -> list[Sequence[Floats]]:
    """Sequences in rows of `columns`."""
    return [sequences[start : start + columns] for start in range(0, len(sequences), columns)]


def write_picture(path: Path | BinaryIO, sheet: npt.NDArray[np.uint8]) -> None:
    """Write grey values [height, width] as a PNG, to a file or a stream.

    Raises:
        UserError: it cannot be written there.
    """
    from matplotlib.image import imsave

    try:
        imsave(path, sheet, cmap="gray", vmin=0, vmax=255, format="png", metadata={"Software": ""})
    except OSError as error:
        raise UserError(f"{path}: cannot write the picture ({error.strerror})") from error
