"""Writes a bundle beside its place and moves it there in one step: whole, or not at all."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from seqvae.data.speech.energy import Floats
from seqvae.errors import UserError
from seqvae.export.bundle import GOLDEN, PIECES, TOKENIZER, Bundle, GoldenRow, golden_document
from seqvae.export.bundle_manifest import DOCUMENT, PACKAGE, File, Manifest, package
from seqvae.export.bundle_sequences import GoldenSequence, sequences_document
from seqvae.export.bundle_sounds import VOICES, GoldenSound, sounds_document, voices_document

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BundleWriter:
    """A folder to write graphs into, which becomes the bundle when `publish` is called.

    As a context manager it removes what was not published. What a killed process left is removed by
    the next writer.

    Args:
        out: the bundle wanted.
        overwrite: replace a bundle that is there; nothing else is ever replaced.
    """

    def __init__(self, out: Path, *, overwrite: bool = False) -> None:
        self.out = Path(os.path.abspath(out))
        self.path = self.out.with_name(f".{self.out.name}.partial")
        self._old = self.out.with_name(f".{self.out.name}.old")
        self._overwrite = overwrite
        self._lock = -1

    def __enter__(self) -> Self:
        """Lock the temporary folder and empty it.

        Raises:
            UserError: `out` may not be replaced, cannot be written, or is being written.
        """
        with self._explained():
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_symlink():
                raise UserError(f"{self.path}: a link where the bundle is to be built; delete it")
            self.path.mkdir(exist_ok=True)
            self._lock = _lock(self.path)
        try:
            with self._explained():
                self._recover()
                self._check_place()
                _empty(self.path)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not published, and explain a full disk."""
        self._discard()
        if isinstance(error, OSError):
            raise self._explanation(error) from error

    def _discard(self) -> None:
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1

    def folder(self, variant: str) -> Path:
        """The folder for a variant's graphs, created."""
        folder = self.path / variant
        folder.mkdir(exist_ok=True)
        return folder

    def write_tokenizer(self, model: bytes, pieces: list[str]) -> None:
        """Write the sentencepiece model and the piece of every id."""
        (self.path / TOKENIZER).parent.mkdir(exist_ok=True)
        (self.path / TOKENIZER).write_bytes(model)
        self._write_json(PIECES, pieces)

    def write_golden(self, rows: list[GoldenRow]) -> None:
        """Write inputs with their known outputs."""
        self._write_json(GOLDEN, golden_document(rows))

    def write_voices(self, voices: Mapping[str, Floats]) -> None:
        """Write the vector of every voice, in the order of the graphs' `speaker`."""
        self._write_json(VOICES, voices_document(voices))

    def write_sounds(self, sounds: Sequence[GoldenSound], rate: int) -> None:
        """Write sounds at `rate` Hz with their known outputs."""
        self._write_json(GOLDEN, sounds_document(self.path, sounds, rate))

    def write_sequences(self, sequences: Sequence[GoldenSequence]) -> None:
        """Write sequences of frames with their known outputs."""
        self._write_json(GOLDEN, sequences_document(self.path, sequences))

    def write_readme(self, text: str) -> None:
        """Write `README.md`."""
        (self.path / "README.md").write_text(text, encoding="utf-8")

    def size(self, variant: str) -> int:
        """Bytes of all files of a variant."""
        return sum(path.stat().st_size for path in (self.path / variant).iterdir())

    def publish(self, manifest: Manifest) -> Bundle:
        """List all files, check the whole as a reader would, and move it to its place.

        Args:
            manifest: all but `files`, which are taken from the folder.

        Raises:
            UserError: a check fails, the disk is full, or `out` has appeared meanwhile.
        """
        with self._explained():
            self._write_json(PACKAGE, package(manifest))
            names = sorted(path for path in self.path.rglob("*") if path.is_file())
            files = {path.relative_to(self.path).as_posix(): _listed(path) for path in names}
            document = manifest.document() | {"files": {n: vars(f) for n, f in files.items()}}
            self._write_json(DOCUMENT, document)
            Bundle.open(self.path)
            for path in sorted(self.path.rglob("*")):
                _flush(path)
            _flush(self.path)
            self._check_place()
            self._move()
            _flush(self.out.parent)
        # All is hashed and flushed: this time only the move is checked.
        return Bundle.open(self.out, verify=False)

    def _write_json(self, name: str, value: Any) -> None:  # noqa: ANN401 (any JSON value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
        (self.path / name).write_text(text + "\n", encoding="utf-8")

    def _check_place(self) -> None:
        """Refuse to replace what is not ours to replace."""
        out = self.out
        if out.is_symlink():
            raise UserError(f"{out}: a link; name the folder itself, or another one")
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return
        if not _is_bundle(out):
            raise UserError(f"{out}: exists and is not a bundle; name another folder")
        if not self._overwrite:
            raise UserError(f"{out}: exists; name another folder, or replace it with --overwrite")

    def _recover(self) -> None:
        """Put the old bundle back when a writer was killed between moving old and new."""
        if self._old.is_dir():
            if self.out.exists():
                shutil.rmtree(self._old, ignore_errors=True)
            else:
                self._old.rename(self.out)

    def _move(self) -> None:
        if not self.out.exists():
            self.path.rename(self.out)
        elif _exchange(self.path, self.out):
            pass  # the old bundle now lies where the new one was written, and is removed from there
        else:
            self.out.rename(self._old)
            self.path.rename(self.out)
            shutil.rmtree(self._old)
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explanation(error) from error

    def _explanation(self, error: OSError) -> UserError:
        if error.errno in _FULL:
            return UserError(
                f"{self.out}: the disk is full ({error.strerror}); nothing was kept. Free space and "
                "run it again"
            )
        return UserError(
            f"{error.filename or self.out}: cannot write ({error.strerror or error}); choose another "
            "folder or fix its permissions"
        )


def _is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle of any version, damaged ones included."""
    try:
        with (folder / DOCUMENT).open("rb") as stream:
            head = stream.read(200)
    except OSError:
        return False
    return b'"format"' in head and b'"seqvae"' in head and (folder / PACKAGE).is_file()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _listed(path: Path) -> File:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(digest, path.stat().st_size)


def _lock(folder: Path) -> int:
    """A descriptor that holds the folder; the system lets go when the process ends in any way."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise UserError(f"{folder}: another export writes here; wait for it to end") from error
    return descriptor


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step; False where the system cannot (Linux can, on most disks)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0)
