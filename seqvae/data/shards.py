"""Writes the shards of one split, one shard in memory at a time."""

import hashlib
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.attributes import FloatArray
from seqvae.data.storage import IntArray, attribute_column, encode_shard


@dataclass
class SplitTotals:
    """What a split holds.

    Attributes:
        sequences: stored sequences.
        tokens: their tokens, without start and end.
        bytes: their UTF-8 bytes.
        words: their white-space words.
        too_long: sequences left out for their length.
        too_short: likewise.
        shards: name, size and hash of every shard.
    """

    sequences: int = 0
    tokens: int = 0
    bytes: int = 0
    words: int = 0
    too_long: int = 0
    too_short: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Encoded:
    """Records of one split, ready to be stored.

    Attributes:
        ids: token ids of every text.
        bytes: UTF-8 bytes of every text, [N].
        words: white-space words of every text, [N].
        targets: token ids of the other sides, or None.
        labels: label ids, [N], or None.
        attributes: what else is known, [N, A], or None.
    """

    ids: list[list[int]]
    bytes: IntArray
    words: IntArray
    targets: list[list[int]] | None = None
    labels: IntArray | None = None
    attributes: FloatArray | None = None


class ShardWriter:
    """Collects sequences and writes them out in shards.

    Args:
        folder: where to.
        split: first part of the file names.
        shard_size: a shard is closed when it holds this many tokens.
        shortest: tokens; shorter sequences are left out.
        longest: tokens; longer sequences are left out.
    """

    def __init__(
        self, folder: Path, split: str, *, shard_size: int, shortest: int, longest: int
    ) -> None:
        self.totals = SplitTotals()
        self._folder, self._split, self._shard_size = folder, split, shard_size
        self._shortest, self._longest = shortest, longest
        self._parts: dict[str, list[IntArray | FloatArray]] = {}
        self._pending = 0

    def add(self, records: Encoded) -> None:
        """Store records in order; a pair is left out when either side is too long or too short."""
        sides = [records.ids] if records.targets is None else [records.ids, records.targets]
        lengths = [np.fromiter(map(len, side), np.int32, len(side)) for side in sides]
        too_long = np.max(lengths, axis=0) > self._longest
        too_short = (np.min(lengths, axis=0) < self._shortest) & ~too_long
        self.totals.too_long += int(too_long.sum())
        self.totals.too_short += int(too_short.sum())
        rows = np.flatnonzero(~(too_long | too_short))
        if not len(rows):
            return
        for name, side, size in zip(("ids", "target"), sides, lengths, strict=False):
            kept = size[rows]
            values = chain.from_iterable(
                side if len(rows) == len(side) else (side[i] for i in rows)
            )
            self._put(name, np.fromiter(values, np.int32, int(kept.sum())))
            self._put(f"{name} lengths", kept)
            self._pending += int(kept.sum())
        self._put("bytes", records.bytes[rows])
        self._put("words", records.words[rows])
        if records.labels is not None:
            self._put("label", records.labels[rows])
        if records.attributes is not None:
            for place, column in enumerate(records.attributes[rows].T):
                self._put(attribute_column(place), column)
        self.totals.sequences += len(rows)
        self.totals.tokens += int(lengths[0][rows].sum())
        self.totals.bytes += int(records.bytes[rows].sum())
        self.totals.words += int(records.words[rows].sum())
        if self._pending >= self._shard_size:
            self.flush()

    def flush(self) -> None:
        """Write what is collected as a shard."""
        if not self._parts:
            return
        parts = {name: np.concatenate(arrays) for name, arrays in self._parts.items()}
        self._parts.clear()
        self._pending = 0
        columns: dict[str, Any] = {}
        for name, values in parts.items():
            if not name.endswith(" lengths"):
                lengths = parts.get(f"{name} lengths")
                columns[name] = values if lengths is None else (values, lengths)
        data = encode_shard(columns)
        name = f"{self._split}-{len(self.totals.shards):05d}.arrow"
        (self._folder / name).write_bytes(data)
        self.totals.shards.append(
            {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        )

    def _put(self, name: str, part: IntArray | FloatArray) -> None:
        self._parts.setdefault(name, []).append(part)
