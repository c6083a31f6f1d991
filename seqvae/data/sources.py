"""Where records come from: files by suffix, folders, standard input, data sets of the Hugging Face hub."""

import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from seqvae.errors import UserError

PLAIN = (".txt", ".smi")
SUFFIXES = (*PLAIN, ".jsonl", ".csv", ".tsv", ".parquet")
STDIN = "-"
HUB = "hf:"


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...


@dataclass(frozen=True)
class Source:
    """One thing to read.

    Attributes:
        name: for messages and reports; does not depend on where the file lies.
        kind: a suffix of `SUFFIXES`, `STDIN` or `HUB`.
        path: the file, None for standard input and the hub.
        compressed: whether it is gzip.
        size: bytes, 0 if not known.
    """

    name: str
    kind: str
    path: Path | None
    compressed: bool = False
    size: int = 0


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Turn what the user named into sources; folders are searched for known suffixes, in sorted order.

    Args:
        inputs: paths, "-" for standard input, "hf:NAME[:SPLIT]" for a data set of the hub.

    Raises:
        UserError: a path does not exist, is empty, or a folder has nothing readable.
    """
    sources: list[Source] = []
    for given in inputs:
        if given == STDIN:
            sources.append(Source("standard input", STDIN, None))
        elif given.startswith(HUB):
            sources.append(Source(given, HUB, None))
        else:
            sources += _files(Path(given))
    if not sources:
        raise UserError("no input: name a file, a folder, or - for standard input")
    return sources


def _files(path: Path) -> list[Source]:
    try:
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if _kind(p)[0] and p.is_file()]
            if not found:
                raise UserError(
                    f"{path}: no file in this folder has a known suffix ({', '.join(SUFFIXES)}, each also .gz)"
                )
            return [_file(p, p.relative_to(path).as_posix()) for p in found]
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
        return [_file(path, path.name)]
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it") from error


def _kind(path: Path) -> tuple[str, bool]:
    compressed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if compressed else path.suffix.lower()
    return (suffix if suffix in SUFFIXES else ""), compressed


def _file(path: Path, name: str) -> Source:
    kind, compressed = _kind(path)
    if kind == ".parquet" and compressed:
        raise UserError(f"{path}: parquet is compressed inside; unpack the .gz around it")
    size = path.stat().st_size
    if not size and path.is_file():
        raise UserError(f"{path}: the file is empty")
    return Source(name, kind or ".txt", path, compressed, size)


class _Watched(io.RawIOBase):
    def __init__(self, stream: BinaryIO, digest: Digest, on_bytes: Callable[[int], object]) -> None:
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
    source: Source, digest: Digest, on_bytes: Callable[[int], object]
) -> Iterator[BinaryIO]:
    """Open a file or standard input, decompressed.

    Args:
        source: what to open.
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
        if not source.compressed:
            yield watched
            return
        try:
            with gzip.GzipFile(fileobj=watched, mode="rb") as unpacked:
                yield unpacked  # type: ignore[misc]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{source.name}: damaged gzip file ({error})") from error
    finally:
        if source.path is not None:
            stream.close()


def content_sha256(source: Source) -> str:
    """Digest of a file's stored bytes, as reading it gives."""
    digest = hashlib.sha256()
    assert source.path is not None
    with open_bytes(
        Source(source.name, source.kind, source.path), digest, lambda _: None
    ) as stream:
        while stream.read(1 << 20):
            pass
    return digest.hexdigest()
