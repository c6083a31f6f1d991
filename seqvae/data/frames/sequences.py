"""`Sequences`: what every kind of file of frames is read into."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqvae.errors import UserError

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
# A frame of more numbers is an image that should be cut into rows.
MOST_FEATURES = 4096


@dataclass(frozen=True)
class Sequences:
    """Sequences of one file, laid end to end.

    Attributes:
        name: of the file.
        values: frames [total, F], numbers of any type; may be a mapped file.
        lengths: frames of each sequence [N], int64; their sum is `total`.
        labels: of each sequence, or None.
    """

    name: str
    values: npt.NDArray[Any]
    lengths: Longs
    labels: list[str] | None = None

    @property
    def features(self) -> int:
        """Numbers F of a frame."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self.lengths)


def from_array(
    name: str,
    values: npt.NDArray[Any],
    lengths: npt.NDArray[Any] | None = None,
    labels: npt.NDArray[Any] | None = None,
) -> Sequences:
    """Sequences of an array.

    Args:
        name: what messages call it.
        values: [N, T, F]; or [N, T], scalars; or with `lengths` [total, F], the sequences end to end.
        lengths: frames of each sequence [N]; None: all T.
        labels: one of each sequence [N], or None.

    Raises:
        UserError: shapes or types that fit nothing.
    """
    if values.dtype.kind not in "biuf":
        raise UserError(f"{name}: values are of type {values.dtype}, not numbers")
    if values.ndim == 2 and lengths is None:
        values = values[:, :, None]
    if values.ndim not in (2, 3):
        raise UserError(
            f"{name}: values of shape {values.shape}; give [sequences, steps, features], or [sequences, steps] "
            "of scalars, or frames [total, features] with lengths"
        )
    if not 1 <= values.shape[-1] <= MOST_FEATURES:
        raise UserError(
            f"{name}: {values.shape[-1]} features; a frame has from 1 to {MOST_FEATURES}: cut larger images "
            "into rows"
        )
    if lengths is None:
        sizes = np.full(len(values), values.shape[1], np.int64)
    else:
        sizes = _lengths(name, lengths)
    if values.ndim == 3:
        if len(sizes) != len(values) or (len(sizes) and int(sizes.max()) > values.shape[1]):
            raise UserError(
                f"{name}: lengths do not fit values of shape {values.shape}: one of each sequence, at most "
                f"{values.shape[1]}"
            )
        if (sizes == values.shape[1]).all():
            values = values.reshape(-1, values.shape[2])
        else:
            real = np.arange(values.shape[1])[None] < sizes[:, None]
            values = values[real]
    elif int(sizes.sum()) != len(values):
        raise UserError(f"{name}: lengths sum to {sizes.sum()}, but there are {len(values)} frames")
    return Sequences(
        name, values, sizes, None if labels is None else labels_of(name, labels, len(sizes))
    )


def labels_of(name: str, labels: npt.NDArray[Any], count: int) -> list[str]:
    """Labels as words, one of each of `count` sequences.

    Raises:
        UserError: another number of them, or neither integers nor words.
    """
    if labels.shape != (count,):
        raise UserError(
            f"{name}: labels of shape {labels.shape}; there are {count} sequences, give one of each"
        )
    if labels.dtype.kind == "f" and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biuU":
        raise UserError(f"{name}: labels are of type {labels.dtype}; give integers or words")
    return [str(label) for label in labels.tolist()]


def _lengths(name: str, lengths: npt.NDArray[Any]) -> Longs:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise UserError(f"{name}: lengths must be one integer from 0 of each sequence")
    return lengths.astype(np.int64)
