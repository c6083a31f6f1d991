"""Which sound files a command reads and where it writes: nothing is overwritten by accident."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqvae.data.speech.audio import SUFFIXES
from seqvae.errors import UserError

Existing = Literal["refuse", "skip", "replace"]
"""What to do where a file to be written exists already."""


@dataclass(frozen=True)
class Job:
    """One file to read and the file to write from it."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        jobs: in reading order.
        ignored: files of the folders that are not sounds.
        done: jobs left out because their output exists (`existing` skip).
    """

    jobs: list[Job]
    ignored: int
    done: int


def sounds_in(folder: Path, leave_out: Path | None = None) -> tuple[list[Path], int]:
    """The sound files in a folder and its folders, sorted, and how many other files there are.

    Sounds are known by their endings; a file named by itself is read whatever its ending. Hidden files and folders are not looked at, links to folders not followed.

    Args:
        folder: where to look.
        leave_out: a folder not to look into: where the results go.
    """
    found: list[Path] = []
    others = 0
    hole = None if leave_out is None else leave_out.resolve()
    for path, folders, files in os.walk(folder):
        here = Path(path)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (hole is None or (here / name).resolve() != hole)
        )
        for name in sorted(files):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in SUFFIXES:
                found.append(here / name)
            else:
                others += 1
    return found, others


def plan(sources: Sequence[Path], out: Path, *, existing: Existing = "refuse") -> Plan:
    """Where the result of each source goes: folders keep their structure, names stay apart.

    Args:
        sources: files and folders.
        out: folder for the results, all WAV.
        existing: what to do where an output exists already: refuse everything, skip the source,
            or replace the file.

    Raises:
        UserError: a source does not exist, there is no sound at all, or (with refuse) an output
            exists.
    """
    if not sources:
        raise UserError("no source is given: name sound files, or folders of them, after the run")
    pairs: list[tuple[Path, Path]] = []
    ignored = 0
    for source in sources:
        if source.is_dir():
            inside, others = sounds_in(source, leave_out=out)
            ignored += others
            pairs += [(path, path.relative_to(source)) for path in inside]
        elif source.exists():
            pairs.append((source, Path(source.name)))
        else:
            raise UserError(f"{source}: no such file or folder")
    pairs = list({(_key(path), name): (path, name) for path, name in pairs}.values())
    if not pairs:
        raise UserError(
            f"no sound in {', '.join(map(str, sources))}: "
            f"files ending in {', '.join(sorted(SUFFIXES))} are looked for ({ignored} others are there)"
        )
    taken = {_key(path) for path, _ in pairs}
    jobs: list[Job] = []
    there: list[Path] = []
    done = 0
    for source, name in pairs:
        output = next(path for path in _names(out / name) if _key(path) not in taken)
        taken.add(_key(output))
        if output.exists() and existing != "replace":
            there.append(output)
            if existing == "skip":
                done += 1
                continue
        jobs.append(Job(source, output))
    if there and existing == "refuse":
        raise UserError(
            f"{there[0]} exists"
            + (f" and {len(there) - 1} others do" if len(there) > 1 else "")
            + "; choose another --out, or --existing skip or --existing replace"
        )
    return Plan(jobs, ignored, done)


def _names(path: Path) -> Iterator[Path]:
    """The output's names in order of preference: a.wav, a-2.wav, a-3.wav..."""
    yield path.with_suffix(".wav")
    number = 2
    while True:
        yield path.with_name(f"{path.stem}-{number}.wav")
        number += 1


def _key(path: Path) -> str:
    # Some file systems do not tell `A.wav` from `a.wav`.
    return os.path.normcase(str(path.resolve())).casefold()
