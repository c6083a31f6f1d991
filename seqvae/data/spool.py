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

from seqvae.data.attributes import FloatArray
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
        attributes: how many other things are known of a record.
    """

    def __init__(
        self, folder: Path, *, pairs: bool, labels: bool, groups: bool, attributes: int = 0
    ) -> None:
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
                ("attributes", attributes > 0),
            )
            if wanted
        }

    def append(
        self,
        texts: Sequence[str],
        targets: Sequence[str] | None,
        labels: IntArray | None,
        groups: HashArray | None,
        attributes: FloatArray | None = None,
    ) -> None:
        """Write records whose texts are normalised and without line breaks; `attributes` [N, A]."""
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
        if attributes is not None:
            self._files["attributes"].write(attributes.tobytes())
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
    """Reads what `SpoolWriter` wrote.

    Args:
        folder: where the files are.
        pairs: records have a target.
        attributes: of each attribute, whether its values are numbers (else numbers of names).
    """

    def __init__(self, folder: Path, *, pairs: bool, attributes: Sequence[bool] = ()) -> None:
        self._folder = folder
        self.sides_per_record = 2 if pairs else 1
        hashes = self._mapped("hashes", np.uint64)
        assert hashes is not None
        self.hashes: HashArray = hashes
        self.sides = self._mapped("sides", np.uint64, 2)
        self.labels = self._mapped("labels", np.int32)
        self.groups = self._mapped("groups", np.uint64)
        self.attributes = self._mapped("attributes", np.float32, len(attributes))
        self._is_number = tuple(attributes)

    def __len__(self) -> int:
        return len(self.hashes)

    def named(self) -> Iterator[IntArray]:
        """Numbers of names of every record, [N]: of the labels, then of each attribute that is no number."""
        if self.labels is not None:
            yield self.labels
        for place, is_number in enumerate(self._is_number):
            if not is_number and self.attributes is not None:
                yield self.attributes[:, place].astype(np.int32)

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

    def _mapped(self, name: str, kind: type, width: int = 0) -> np.ndarray[Any, Any] | None:
        path = self._folder / f"spool.{name}"
        if not path.exists():
            return None
        if not path.stat().st_size:
            return np.zeros((0, width) if width else 0, kind)
        values: np.ndarray[Any, Any] = np.memmap(path, kind, mode="r")
        return values.reshape(-1, width) if width else values
