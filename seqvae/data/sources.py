"""Where records come from: files by suffix, folders, standard input."""

import gzip
import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seqvae.data.lines import SkipReport, read_lines
from seqvae.errors import UserError

SUFFIXES = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Records:
    """A block of records, field by field.

    Attributes:
        texts: one a record.
        targets: the other side of pairs, or None.
        labels: label names, or None.
        groups: what must stay in one split, or None where that is the text itself.
    """

    texts: list[str]
    targets: list[str] | None = None
    labels: list[str] | None = None
    groups: list[str] | None = None


@dataclass(frozen=True)
class Source:
    """One thing to read.

    Attributes:
        name: for messages and reports; does not depend on where the file lies.
        kind: a suffix of `SUFFIXES`, or "hf".
        path: the file, None for standard input or a data set of the hub.
        compressed: whether it is gzip.
        size: bytes, 0 if not known.
    """

    name: str
    kind: str
    path: Path | None
    compressed: bool = False
    size: int = 0


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Turn paths into files to read; folders are searched for known suffixes, in sorted order.

    Raises:
        UserError: a path does not exist, is empty, or a folder has nothing readable.
    """
    sources: list[Source] = []
    for given in inputs:
        if given == "-":
            sources.append(Source("standard input", ".txt", None))
            continue
        path = Path(given)
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if p.is_file() and _kind(p)[0]]
            if not found:
                raise UserError(
                    f"{path}: no file with a known suffix ({', '.join(SUFFIXES)}, each also .gz) in this folder"
                )
            sources += [_file(p, str(p.relative_to(path))) for p in found]
        elif path.exists():
            sources.append(_file(path, path.name))
        else:
            raise UserError(f"{path}: no such file or folder")
    if not sources:
        raise UserError("no input: name at least one file, a folder, or - for standard input")
    return sources


def _kind(path: Path) -> tuple[str, bool]:
    compressed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if compressed else path.suffix.lower()
    return (suffix if suffix in SUFFIXES else ""), compressed


def _file(path: Path, name: str) -> Source:
    kind, compressed = _kind(path)
    size = path.stat().st_size
    if not size and path.is_file():
        raise UserError(f"{path}: the file is empty")
    return Source(name, kind or ".txt", path, compressed, size)


class _Watched(io.RawIOBase):
    """A byte stream that hashes and counts what is read."""

    def __init__(
        self, stream: BinaryIO, digest: "hashlib._Hash", on_bytes: Callable[[int], object]
    ) -> None:
        self._stream = stream
        self._digest = digest
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._digest.update(data)
        self._on_bytes(len(data))
        return len(data)


@contextmanager
def open_bytes(
    source: Source, digest: "hashlib._Hash", on_bytes: Callable[[int], object]
) -> Iterator[BinaryIO]:
    """Open a source's bytes, decompressed.

    Args:
        source: a file or standard input.
        digest: gets the bytes as stored.
        on_bytes: told how many stored bytes were read.

    Raises:
        UserError: no permission, or damaged compression.
    """
    try:
        stream = sys.stdin.buffer if source.path is None else source.path.open("rb")
    except OSError as error:
        raise UserError(f"{source.path}: cannot read it ({error.strerror})") from error
    try:
        watched = io.BufferedReader(_Watched(stream, digest, on_bytes), 1 << 20)
        if source.compressed:
            try:
                with gzip.GzipFile(fileobj=watched, mode="rb") as unpacked:
                    yield unpacked  # type: ignore[misc]
            except (EOFError, gzip.BadGzipFile) as error:
                raise UserError(f"{source.name}: damaged gzip file ({error})") from error
        else:
            yield watched
    finally:
        if source.path is not None:
            stream.close()


def read_records(
    source: Source,
    report: SkipReport,
    digest: "hashlib._Hash",
    on_bytes: Callable[[int], object],
    max_line_bytes: int,
) -> Iterator[Records]:
    """Read a source block by block."""
    with open_bytes(source, digest, on_bytes) as stream:
        for _, lines in read_lines(stream, source.name, report, max_line_bytes):
            yield Records([line for line in lines if line is not None])
