"""Sequences of frames in memory-mapped Arrow shards."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.frames.sequences import Floats, Longs
from seqvae.data.speech.store import read_batches, schema_of
from seqvae.errors import UserError

COLUMNS = {"values": "list<float32>", "frames": "int32", "label": "int32", "item": "int64"}
"""Of a shard: numbers of all frames of a sequence, how many frames, the label's number (-1: none), and its
place in the input."""
SHARD_NUMBERS = 1 << 23
"""Numbers of a shard, 32 MiB, but for the last sequence of it."""


class FramesStore:
    """A split of a corpus of frames.

    Args:
        paths: its shards, in order.
        features: numbers F of a frame.

    Raises:
        UserError: a shard is missing, damaged or not one of ours.
    """

    def __init__(self, paths: Sequence[Path], features: int) -> None:
        self.features = features
        self._offsets: list[np.ndarray[Any, Any]] = []
        self._values: list[np.ndarray[Any, Any]] = []
        columns: dict[str, list[np.ndarray[Any, Any]]] = {"frames": [], "label": [], "item": []}
        for path in paths:
            for batch in read_batches(path, COLUMNS):
                lists = batch.column("values")
                offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
                frames = batch.column("frames").to_numpy()
                sizes = np.diff(offsets)
                if (
                    offsets[0] != 0
                    or offsets[-1] > len(values)
                    or (sizes != frames * features).any()
                ):
                    raise UserError(f"{path}: damaged; prepare the corpus again")
                self._offsets.append(offsets)
                self._values.append(values)
                for name, parts in columns.items():
                    parts.append(batch.column(name).to_numpy())
        self._columns = columns
        self._starts = np.cumsum([0, *(len(offsets) - 1 for offsets in self._offsets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def frames(self) -> Longs:
        """Frames of every sequence, [N]."""
        return self._joined("frames")

    @cached_property
    def labels(self) -> Longs:
        """Number of every sequence's label, -1 where it has none, [N]."""
        return self._joined("label")

    @cached_property
    def items(self) -> Longs:
        """Place of every sequence in the input, [N]."""
        return self._joined("item")

    def sequence(self, index: int) -> Floats:
        """Frames [T, F] of a sequence, a read-only view."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[shard])
        start, stop = self._offsets[shard][row : row + 2]
        found: Floats = self._values[shard][start:stop].reshape(-1, self.features)
        return found

    def padded(self, indices: Longs) -> tuple[Floats, Longs]:
        """Sequences [B, T, F], zeros behind the shorter ones, and their lengths [B]."""
        lengths = self.frames[indices]
        values = np.zeros((len(indices), int(lengths.max()), self.features), np.float32)
        for row, index in enumerate(indices.tolist()):
            values[row, : lengths[row]] = self.sequence(index)
        return values, lengths

    def _joined(self, name: str) -> Longs:
        parts = self._columns[name]
        found: Longs = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
        return found


def write_shard(path: Path, rows: Sequence[tuple[Floats, int, int]]) -> None:
    """Write sequences [T, F] with their labels' numbers and their places in the input."""
    import pyarrow as pa

    offsets = np.cumsum([0, *(values.size for values, _, _ in rows)]).astype(np.int32)
    flat = np.concatenate([values.reshape(-1) for values, _, _ in rows])
    arrays = [
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)),
        pa.array([len(values) for values, _, _ in rows], pa.int32()),
        pa.array([label for _, label, _ in rows], pa.int32()),
        pa.array([item for _, _, item in rows], pa.int64()),
    ]
    schema = schema_of(COLUMNS)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
