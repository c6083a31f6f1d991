"""What is to be judged: a JSON file, checked when it is read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from seqvae.errors import UserError

REFEREES = ("words", "speaker", "quality", "distance", "pitch", "enhancement")


@dataclass(frozen=True)
class Item:
    """A sound and what is known of it. What is not known, is not judged.

    Attributes:
        audio: file to judge: quality, always.
        group: items of one group become a row of the table.
        text: what it should say: words.
        target: name of the voice it should be in, one of the job's: speaker, and pitch.
        source: name of the voice it was converted from: likeness to the source, gap closed.
        reference: the target's own recording of the same sentence: distance, and pitch.
        clean: what it would be without noise, aligned to the sample: enhancement.
    """

    audio: str
    group: str = "all"
    text: str | None = None
    target: str | None = None
    source: str | None = None
    reference: str | None = None
    clean: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file it names."""
        return tuple(Path(p) for p in (self.audio, self.reference, self.clean) if p is not None)


@dataclass(frozen=True)
class Job:
    """Items to judge.

    Attributes:
        items: what to judge.
        voices: recordings of each voice that could be identified; at least the targets and sources.
        referees: which to ask, of REFEREES.
    """

    items: Sequence[Item]
    voices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    referees: Sequence[str] = REFEREES

    def __post_init__(self) -> None:
        unknown = set(self.referees) - set(REFEREES)
        if unknown:
            raise UserError(
                f"referees: no referee {', '.join(sorted(unknown))}; there are {', '.join(REFEREES)}"
            )
        empty = [name for name, files in self.voices.items() if not files]
        if empty:
            raise UserError(f"voices: {', '.join(empty)}: no recordings")

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_job(path: Path) -> Job:
    """Read a job.

    Raises:
        UserError: not JSON, or not of the form of `Job`; names the field.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a job: {error}") from None
    given = _fields(path, "job", data, Job)
    items = given.get("items")
    if not isinstance(items, list) or not items:
        raise UserError(f"{path}: items must be a list of at least one sound")
    made = []
    for number, item in enumerate(items):
        known = _fields(path, f"items[{number}]", item, Item)
        wrong = [k for k, v in known.items() if v is not None and not isinstance(v, str)]
        if wrong or not known.get("audio"):
            what = f"{wrong[0]} must be a string" if wrong else "audio must name a file"
            raise UserError(f"{path}: items[{number}]: {what}")
        made.append(Item(**known))
    voices = given.get("voices", {})
    if not isinstance(voices, dict) or not all(map(_strings, voices.values())):
        raise UserError(f"{path}: voices must map names to lists of files")
    referees = given.get("referees", list(REFEREES))
    if not _strings(referees):
        raise UserError(f"{path}: referees must be a list of names, of {', '.join(REFEREES)}")
    return Job(made, voices, referees)


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _fields(path: Path, where: str, data: object, kind: type[Any]) -> dict[str, Any]:
    known = [f.name for f in fields(kind)]
    if not isinstance(data, dict):
        raise UserError(f"{path}: {where} must be an object with {', '.join(known)}")
    unknown = set(data) - set(known)
    if unknown:
        raise UserError(
            f"{path}: {where} has no field {', '.join(sorted(unknown))}; known: {', '.join(known)}"
        )
    return data
