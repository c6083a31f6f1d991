"""The accepted records of one pass over the input, on disk: normalised lines and their hashes.

Everything after the first pass works on the spool, so that standard input is read once and memory does not grow
with the corpus (one byte a line aside).
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from seqvae.data.storage import IntArray

HashArray = np.ndarray[Any, np.dtype[np.uint64]]
ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

_BLOCK = 1 << 22


def hash_texts(encoded: Sequence[bytes]) -> HashArray:
    """Hash texts to 64 bits each (BLAKE2b: the same on every machine), [N]."""
    digest = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in encoded)
    return np.frombuffer(digest, "<u8")


class SpoolWriter:
    """Appends records; use as a context manager.

    Args:
        folder: where the files go.
        pairs: records have a target.
        labels: records have a label id.
        groups: records have the hash of what must stay together.
    """

    def __init__(self, folder: Path, *, pairs: bool, labels: bool, groups: bool) -> None:
        self.records = 0
        self.text_bytes = 0
        self._pairs = pairs
        self._files = {
            name: (folder / f"spool.{name}").open("wb")
            for name, wanted in (
                ("text", True),
                ("hashes", True),
                ("sides", pairs),
                ("labels", labels),
                ("groups", groups),
            )
            if wanted
        }

    def append(
        self,
        texts: Sequence[str],
        targets: Sequence[str] | None,
        labels: IntArray | None,
        groups: HashArray | None,
    ) -> None:
        """Write records whose texts are normalised and without line breaks."""
        encoded = [text.encode() for text in texts]
        hashes = hash_texts(encoded)
        if self._pairs:
            assert targets is not None
            encoded_targets = [text.encode() for text in targets]
            self._files["sides"].write(
                np.stack([hashes, hash_texts(encoded_targets)], axis=1).tobytes()
            )
            hashes = hash_texts(
                [b"\n".join(pair) for pair in zip(encoded, encoded_targets, strict=True)]
            )
            encoded = [line for pair in zip(encoded, encoded_targets, strict=True) for line in pair]
        text = b"".join(line + b"\n" for line in encoded)
        self._files["text"].write(text)
        self._files["hashes"].write(hashes.tobytes())
        if labels is not None:
            self._files["labels"].write(labels.tobytes())
        if groups is not None:
            self._files["groups"].write(groups.tobytes())
        self.records += len(texts)
        self.text_bytes += len(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in self._files.values():
            stream.close()


class Spool:
    """Reads what `SpoolWriter` wrote."""

    def __init__(self, folder: Path, *, pairs: bool) -> None:
        self._folder = folder
        self.sides_per_record = 2 if pairs else 1
        hashes = self._mapped("hashes", np.uint64)
        assert hashes is not None
        self.hashes: HashArray = hashes
        self.sides = self._mapped("sides", np.uint64)
        self.labels = self._mapped("labels", np.int32)
        self.groups = self._mapped("groups", np.uint64)

    def __len__(self) -> int:
        return len(self.hashes)

    def chunks(self) -> Iterator[tuple[int, list[bytes], int]]:
        """Yield the number of a chunk's first record, its lines (two a record for pairs) and its bytes."""
        first = 0
        carry = b""
        with (self._folder / "spool.text").open("rb") as stream:
            while block := stream.read(_BLOCK):
                lines = (carry + block).split(b"\n")
                tail = (len(lines) - 1) % self.sides_per_record
                carry = b"\n".join(lines[len(lines) - 1 - tail :])
                whole = lines[: len(lines) - 1 - tail]
                if whole:
                    yield first, whole, len(block)
                    first += len(whole) // self.sides_per_record

    def _mapped(self, name: str, kind: type) -> np.ndarray[Any, Any] | None:
        path = self._folder / f"spool.{name}"
        if not path.exists():
            return None
        if not path.stat().st_size:
            return np.zeros(0, kind)
        values: np.ndarray[Any, Any] = np.memmap(path, kind, mode="r")
        return values.reshape(-1, 2) if name == "sides" else values
