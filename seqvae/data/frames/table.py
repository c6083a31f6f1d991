"""Tables of time series: a row for each frame, or for each series of scalars."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqvae.data.frames.sequences import Sequences, from_array
from seqvae.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

# A table is read whole; numbers of a CSV take up to twice their text.
LARGEST_TABLE = 1 << 30


def read_table(path: Path, series: str | None = None, label: str | None = None) -> Sequences:
    """The sequences of a CSV or Parquet file with named columns; missing numbers are NaN.

    Args:
        path: the file.
        series: column that says which sequence a row belongs to: rows of one stand together, in order of
            time, and each is a frame of the other columns. None: a row is a sequence of scalars.
        label: column with the label of the row's sequence.

    Raises:
        UserError: cannot be read, too large, a column is missing or has no numbers.
    """
    size = path.stat().st_size
    if size > LARGEST_TABLE:
        raise UserError(
            f"{path}: {size >> 20:,} MiB; tables are read whole, at most {LARGEST_TABLE >> 20:,} MiB: split it, or "
            "save a .npy, which is mapped"
        )
    table = _open(path)
    for column in (series, label):
        if column is not None and column not in table.column_names:
            raise UserError(f"{path}: no column {column!r}; it has {', '.join(table.column_names)}")
    names = [name for name in table.column_names if name not in (series, label)]
    if not names:
        raise UserError(f"{path}: no column of numbers is left")
    values = np.stack([_numbers(path, table, name) for name in names], 1)
    if series is None:
        labels = None if label is None else np.array(_words(path, table, label))
        return from_array(path.name, values, labels=labels)
    keys = _words(path, table, series)
    starts = [0] + [i for i in range(1, len(keys)) if keys[i] != keys[i - 1]] if keys else []
    first = [keys[start] for start in starts]
    if len(set(first)) != len(first):
        twice = next(key for i, key in enumerate(first) if key in first[:i])
        raise UserError(
            f"{path}: rows of series {twice!r} do not stand together; sort the table by {series!r} and time"
        )
    lengths = np.diff([*starts, len(keys)]).astype(np.int64)
    labels = None
    if label is not None:
        every = _words(path, table, label)
        labels = np.array([every[start] for start in starts])
    return from_array(path.name, values, lengths, labels)


def _open(path: Path) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        return csv.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot read the table ({error})") from error


def _numbers(path: Path, table: "pa.Table", name: str) -> npt.NDArray[Any]:
    import pyarrow as pa

    column = table.column(name)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan, np.float32)
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise UserError(
            f"{path}: column {name!r} has {column.type}, not numbers; name it with --series or --label, or take "
            "it out"
        )
    found: npt.NDArray[Any] = column.cast(pa.float32()).to_numpy()
    return found


def _words(path: Path, table: "pa.Table", name: str) -> list[str]:
    column = table.column(name)
    if column.null_count:
        raise UserError(f"{path}: column {name!r} is empty in {column.null_count} rows")
    return [str(value) for value in column.to_pylist()]
