"""Recordings to a speech corpus, whole or not at all."""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

import seqvae
from seqvae.data.folder import FORMATS, META, read_meta
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.layouts import find_takes
from seqvae.data.speech.part import digest_of
from seqvae.data.speech.records import SpeechReport, Take
from seqvae.data.speech.settings import PrepareSpeech, settings_of
from seqvae.data.speech.stages import Stages, source_digest
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError

__all__ = ["PrepareSpeech", "prepare_speech"]


def _to_stderr(notice: str) -> None:
    tqdm.write(notice, file=sys.stderr)


def prepare_speech(config: PrepareSpeech, say: Callable[[str], None] = _to_stderr) -> SpeechCorpus:
    """Prepare a corpus.

    The result is the same, byte for byte, for the same recordings and settings, whatever the number of workers.
    Interrupted and run again with the same arguments it goes on after the last finished part. Files that cannot
    be used are listed in skipped.jsonl with the reason.

    Args:
        config: what to do.
        say: gets notices for the user, one line each.

    Returns:
        The corpus, opened. If `config.out` already holds just this corpus, nothing is done.

    Raises:
        UserError: unusable settings or layout, not one usable recording, no space or permission to write, or
            something else at `config.out`.
    """
    report = SpeechReport()
    # Sound from inside tables lies beside the workspace, which is cleared when the input has changed.
    inside = config.out.with_name(config.out.name + ".sounds")
    takes = find_takes(config.inputs, config.layout, config.texts, report, _Keeper(inside), say)
    workspace = Workspace(config.out)
    if config.out.exists() and not _may_replace(config, takes):
        say(f"{config.out}: already prepared with this input and these settings")
        _discard(workspace, inside)
        return SpeechCorpus.open(config.out)
    with workspace.hold(_key(config, takes)):
        try:
            Stages(config, workspace, takes, report, say).run()
        except UserError:
            say(
                f"{workspace.path}: keeps what was read; delete it, or run this again with other options"
            )
            raise
        workspace.publish()
    _discard(None, inside)
    return SpeechCorpus.open(config.out)


class _Keeper:
    """Writes sounds to files named after their content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, data: bytes) -> Path:
        """The file that holds these bytes; one that is there from an earlier run stays as it is."""
        path = self._folder / hashlib.sha256(data).hexdigest()
        try:
            if not path.is_file() or path.stat().st_size != len(data):
                self._folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        except OSError as error:
            raise UserError(f"{self._folder}: cannot write there ({error.strerror})") from error
        return path


def _discard(workspace: Workspace | None, inside: Path) -> None:
    shutil.rmtree(inside, ignore_errors=True)
    if workspace is not None and workspace.path.exists():
        with workspace.hold(""):
            workspace.discard()


def _key(config: PrepareSpeech, takes: Sequence[Take]) -> str:
    """Digest of everything that shards depend on: who speaks and what is held out may still change."""
    digest = hashlib.sha256()
    state = [FORMATS["speech"][1], seqvae.__version__, asdict(config.treatment)]
    digest.update(json.dumps(state).encode())
    for take in takes:
        entry: list[Any] = [str(take.path.absolute()), take.name, take.start, take.duration]
        with contextlib.suppress(OSError):
            stat = take.path.stat()
            entry += [stat.st_size, stat.st_mtime_ns]
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()


def _may_replace(config: PrepareSpeech, takes: Sequence[Take]) -> bool:
    """False if `out` already is what is asked for."""
    out = config.out
    if not out.is_dir():
        raise UserError(f"{out}: a file is in the way; choose another output folder")
    if not any(out.iterdir()):
        return True
    if not (out / META).is_file():
        raise UserError(
            f"{out}: holds something that is not a corpus; choose another output folder"
        )
    if config.overwrite:
        return True
    difference = _difference(read_meta(out, "speech"), config, takes)
    if difference:
        raise UserError(
            f"{out}: holds another corpus ({difference}); pass --overwrite to replace it"
        )
    return False


def _difference(meta: dict[str, Any], config: PrepareSpeech, takes: Sequence[Take]) -> str:
    for there, wanted in (
        (meta["mel"], asdict(config.mel)),
        (meta["settings"], json.loads(json.dumps(settings_of(config)))),
    ):
        for name, value in wanted.items():
            if there.get(name) != value:
                return f"{name} was {there.get(name)}, is {value}"
    if len(takes) != meta["sources"]["recordings"]:
        return (
            f"it was made of {meta['sources']['recordings']:,} recordings, there are {len(takes):,}"
        )
    contents, last, digest = [], None, ""
    for take in takes:
        if take.path != last:
            last, digest = take.path, digest_of(take.path)
        contents.append(digest)
    same = source_digest(takes, contents) == meta["sources"]["sha256"]
    return "" if same else "the recordings or their texts differ"
