"""Token sequences in memory-mapped Arrow shards: the reader and the writer."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqvae.data.attributes import FloatArray
from seqvae.errors import UserError

if TYPE_CHECKING:  # batches can be made, and models run, where there is no pyarrow
    import pyarrow as pa

IntArray = np.ndarray[Any, np.dtype[np.int32]]
LongArray = np.ndarray[Any, np.dtype[np.int64]]


_ATTRIBUTE = "attribute_"


class _Lists:
    """One list<int32> column of one shard, as plain arrays over the mapped file."""

    def __init__(self, column: "pa.ListArray", where: str) -> None:
        self.offsets: IntArray = column.offsets.to_numpy()
        self.values: IntArray = column.values.to_numpy()
        self.lengths: IntArray = np.diff(self.offsets)
        start, stop = int(self.offsets[0]), int(self.offsets[-1])
        if start < 0 or stop > len(self.values) or bool((self.lengths < 0).any()):
            raise UserError(f"{where}: the shard's offsets are damaged; prepare the corpus again")

    def row(self, index: int) -> IntArray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def copy_rows(self, rows: LongArray, places: LongArray, out: LongArray, first: int) -> None:
        lengths = self.lengths[rows].astype(np.int64)
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        source = within + np.repeat(self.offsets[rows].astype(np.int64), lengths)
        out[np.repeat(places, lengths), within + first] = self.values[source]


class SequenceStore:
    """A split of a corpus: sequences of token ids without start and end tokens.

    Args:
        paths: the Arrow shards in order.

    Raises:
        UserError: a shard is missing, truncated or not one of ours.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        batches = [_open_shard(path) for path in self.paths]
        self._batches = batches
        self._ids = [
            _Lists(batch.column("ids"), str(path))
            for batch, path in zip(batches, self.paths, strict=True)
        ]
        names = batches[0].schema.names if batches else []
        self._targets = (
            [
                _Lists(batch.column("target"), str(path))
                for batch, path in zip(batches, self.paths, strict=True)
            ]
            if "target" in names
            else None
        )
        self._has_labels = "label" in names
        self._attributes = sum(name.startswith(_ATTRIBUTE) for name in names)
        self._starts: LongArray = np.cumsum([0, *(len(lists.lengths) for lists in self._ids)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def has_pairs(self) -> bool:
        """Whether every sequence has a target sequence beside it."""
        return self._targets is not None

    @cached_property
    def lengths(self) -> IntArray:
        """Tokens of every sequence, [N]."""
        return _joined([lists.lengths for lists in self._ids])

    @cached_property
    def target_lengths(self) -> IntArray | None:
        """Tokens of every target, [N], when the corpus is made of pairs."""
        return None if self._targets is None else _joined([t.lengths for t in self._targets])

    @cached_property
    def labels(self) -> IntArray | None:
        """Label ids, [N], when the corpus has labels."""
        return self._integers("label") if self._has_labels else None

    @cached_property
    def attributes(self) -> FloatArray | None:
        """What else is known of every sequence, [N, A], when the corpus has attributes."""
        if not self._attributes:
            return None
        columns = [attribute_column(place) for place in range(self._attributes)]
        parts = [
            np.stack([batch.column(name).to_numpy() for name in columns], 1)
            for batch in self._batches
        ]
        found: FloatArray = np.concatenate(parts)
        return found

    @cached_property
    def bytes(self) -> IntArray:
        """UTF-8 bytes of every normalised text, [N]: the unit of bits per byte."""
        return self._integers("bytes")

    @cached_property
    def words(self) -> IntArray:
        """White-space words of every normalised text, [N]: the unit of perplexity per word."""
        return self._integers("words")

    def tokens(self, index: int) -> IntArray:
        """Return sequence `index`, a read-only view [T]."""
        shard, row = self._locate(index)
        return self._ids[shard].row(row)

    def target(self, index: int) -> IntArray | None:
        """Return the target of sequence `index`, a read-only view [T'], or None without pairs."""
        if self._targets is None:
            return None
        shard, row = self._locate(index)
        return self._targets[shard].row(row)

    def copy_rows(
        self, indices: LongArray, out: LongArray, first: int = 0, target: bool = False
    ) -> None:
        """Copy sequences into the rows of a padded array.

        Args:
            indices: which sequences, [B].
            out: written to, [B, T] with T >= first + the longest of them.
            first: column of each sequence's first token.
            target: copy the targets instead.
        """
        columns = self._targets if target else self._ids
        if columns is None:
            raise ValueError("the store has no targets")
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            rows = indices[places] - self._starts[shard]
            columns[shard].copy_rows(rows, places, out, first)

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return shard, int(index - self._starts[shard])

    def _integers(self, name: str) -> IntArray:
        return _joined([batch.column(name).to_numpy() for batch in self._batches])


def _joined(parts: Sequence[IntArray]) -> IntArray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def attribute_column(place: int) -> str:
    """Name of a column that holds an attribute."""
    return f"{_ATTRIBUTE}{place}"


def _type(column: str) -> "pa.DataType":
    import pyarrow as pa

    if column in ("ids", "target"):
        return pa.list_(pa.int32())
    if column in ("label", "bytes", "words"):
        return pa.int32()
    return pa.float32() if column.startswith(_ATTRIBUTE) else None


def _open_shard(path: Path) -> "pa.RecordBatch":
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.num_record_batches != 1:
            raise pa.ArrowInvalid(f"{reader.num_record_batches} record batches instead of 1")
        batch = reader.get_batch(0)
        # The mapped file is not trusted: every access below relies on these types and bounds.
        batch.validate()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: cannot read the shard ({error}); prepare the corpus again"
        ) from error
    schema = batch.schema
    attributes = [name for name in schema.names if name.startswith(_ATTRIBUTE)]
    needed = {"ids", "bytes", "words", *map(attribute_column, range(len(attributes)))}
    if not needed <= set(schema.names) or any(
        _type(field.name) != field.type or batch.column(field.name).null_count for field in schema
    ):
        raise UserError(f"{path}: not a shard of this version; prepare the corpus again")
    return batch


def encode_shard(
    columns: dict[str, tuple[IntArray, IntArray] | IntArray | FloatArray],
) -> memoryview:
    """Serialise a shard.

    Args:
        columns: for `ids` and `target` a pair (values, lengths), for the rest one value a sequence.

    Returns:
        The bytes of an Arrow IPC file with one record batch.
    """
    import pyarrow as pa

    arrays = {}
    for name, data in columns.items():
        if isinstance(data, tuple):
            values, lengths = data
            offsets = np.zeros(len(lengths) + 1, np.int32)
            np.cumsum(lengths, out=offsets[1:])
            arrays[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        else:
            arrays[name] = pa.array(data)
    schema = pa.schema([pa.field(name, _type(name)) for name in arrays])
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def file_sha256(path: Path) -> str:
    """Digest of a file's content, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
