"""Files of frames: arrays of numpy, idx (MNIST), and tables of time series."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqvae.data.frames.sequences import Sequences, from_array, labels_of
from seqvae.errors import UserError

# What is not memory-mapped must fit in memory, three times over.
LARGEST = 2 << 30
KINDS = (".npy", ".npz", ".csv", ".parquet", "-ubyte", "-ubyte.gz")
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_sequences(
    path: Path, labels: Path | None = None, series: str | None = None, label: str | None = None
) -> Sequences:
    """The sequences of one file. Nothing in it is executed: pickles are refused.

    Args:
        path: .npy [N, T, F] or [N, T]; .npz with the same as `values`, and `lengths`, `labels` where it
            has them; idx, as MNIST comes; .csv or .parquet.
        labels: .npy or idx with a label of each sequence.
        series: of a table, the column that says which sequence a row belongs to, a row being a frame; None:
            a row is a sequence of scalars.
        label: of a table, the column with the label.

    Raises:
        UserError: no such file, of an unknown or damaged format, too large, or of shapes that fit nothing.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    name = path.name
    if name.endswith((".csv", ".parquet")):
        from seqvae.data.frames.table import read_table

        found = read_table(path, series, label)
    elif name.endswith(".npz"):
        found = _npz(path)
    elif name.endswith(".npy"):
        found = from_array(name, _npy(path))
    elif "-ubyte" in name:
        found = from_array(name, read_idx(path))
    else:
        raise UserError(f"{path}: unknown kind of file; known: {', '.join(KINDS)}")
    if labels is None:
        return found
    if not labels.is_file():
        raise UserError(f"--labels {labels}: no such file")
    array = read_idx(labels) if "-ubyte" in labels.name else _npy(labels)
    words = labels_of(labels.name, array, len(found))
    return Sequences(found.name, found.values, found.lengths, words)


def read_idx(path: Path) -> npt.NDArray[Any]:
    """The array of an idx file, the format of MNIST, also compressed by gzip.

    Raises:
        UserError: damaged, or larger than memory should bear.
    """
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot read it ({error})") from error
    if len(data) > LARGEST:
        raise UserError(
            f"{path}: more than {LARGEST >> 30} GiB; convert it to .npy, which is mapped"
        )
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise UserError(f"{path}: not an idx file")
    kind, dimensions = np.dtype(_IDX_TYPES[data[2]]), data[3]
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise UserError(f"{path}: damaged: its shape is cut off")
    shape = np.frombuffer(data, ">u4", dimensions, 4).astype(object).tolist()
    size = int(np.prod(shape, dtype=object)) * kind.itemsize
    if len(data) - start != size:
        raise UserError(
            f"{path}: damaged: {len(data) - start} bytes instead of {size} behind its head"
        )
    return np.frombuffer(data, kind, offset=start).reshape(shape)


def _npy(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not an array of numbers ({error})") from error
    return array


def _npz(path: Path) -> Sequences:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            raise UserError(
                f"{path}: {size >> 20:,} MiB unpacked, at most {LARGEST >> 20:,} are; save values as .npy, "
                "which is mapped"
            )
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not arrays of numbers ({error})") from error
    if "values" not in found:
        raise UserError(
            f"{path}: no array 'values' in it, only {', '.join(sorted(found)) or 'nothing'}; save it with "
            "numpy.savez(path, values=..., lengths=..., labels=...), the last two where there are any"
        )
    return from_array(path.name, found["values"], found.get("lengths"), found.get("labels"))
