"""The unfinished folder beside the result: locked, journalled stage by stage, renamed when complete."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqvae.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_JOURNAL = "journal.json"


class Workspace:
    """`OUT.partial`, in which `OUT` is built.

    A stage's files are flushed to the disk before the journal says that it is finished, and the journal is
    replaced in one step. After a crash the same key finds the finished stages; another key starts clean.

    Args:
        out: the folder wanted.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = out.with_name(out.name + ".partial")
        self.results = self.path / "result"
        self._stages: dict[str, dict[str, Any]] = {}
        self._key = ""

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Lock the folder and read its journal; a full disk removes the folder and says so.

        Args:
            key: digest of the settings and inputs; "" never resumes.

        Raises:
            UserError: no permission, no space, or another process is at work there.
        """
        with self._explained():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path, os.O_RDONLY)
        try:
            _lock(lock, self.path)
            with self._explained():
                self._resume(key)
                yield
        finally:
            os.close(lock)

    def is_finished(self, stage: str) -> bool:
        """Whether the stage need not run again."""
        return stage in self._stages

    def result(self, stage: str) -> dict[str, Any]:
        """Return what a finished stage left in the journal."""
        return self._stages[stage]

    def finish(self, stage: str, result: dict[str, Any]) -> None:
        """Record that a stage is finished."""
        for path in sorted(self.path.rglob("*")):
            if path.is_file():
                _flush(path)
        self._stages[stage] = result
        self._write_journal()

    def publish(self) -> None:
        """Move the result to its place, instead of what is there."""
        _flush(self.results)
        if self.out.exists():
            shutil.rmtree(self.out)
        os.rename(self.results, self.out)
        _flush(self.out.parent)
        shutil.rmtree(self.path)

    def discard(self) -> None:
        """Remove the unfinished folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _resume(self, key: str) -> None:
        journal: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            journal = json.loads((self.path / _JOURNAL).read_bytes())
        self._key = key
        if key and journal.get("key") == key:
            self._stages = journal["stages"]
            return
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._write_journal()

    def _write_journal(self) -> None:
        temporary = self.path / (_JOURNAL + ".new")
        temporary.write_text(json.dumps({"key": self._key, "stages": self._stages}))
        _flush(temporary)
        os.replace(temporary, self.path / _JOURNAL)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                self.discard()
                raise UserError(
                    f"{self.out}: the disk is full ({error.strerror}); nothing was kept. Free space (about three times "
                    "the size of the text is needed while preparing) and run it again"
                ) from error
            if error.errno in _FORBIDDEN:
                raise UserError(
                    f"{error.filename or self.out}: no permission to write ({error.strerror}); choose another output folder"
                ) from error
            if error.errno in (errno.ENOTDIR, errno.EEXIST):
                raise UserError(
                    f"{error.filename or self.out}: not a folder; choose another output folder"
                ) from error
            raise


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(f"{path}: another `prepare` is writing here; wait for it to end") from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
