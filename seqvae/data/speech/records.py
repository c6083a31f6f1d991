"""A recording as a layout finds it, and what is said of those that are left out."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Folders that say nothing of who speaks.
_GENERIC = {"audio", "clips", "data", "dev", "flac", "mp3", "sound", "sounds", "test", "train"}
_GENERIC |= {"valid", "validation", "wav", "wavs"}


@dataclass(frozen=True)
class Take:
    """One recording to be read: a sound file or a part of one.

    Attributes:
        path: the file.
        name: what it is called in reports and in the corpus: its path inside the input, with slashes.
        speaker: who speaks.
        text: what is said; empty if nobody knows.
        start: where it begins in the file, seconds.
        duration: how long it is, seconds; None is to the end.
    """

    path: Path
    name: str
    speaker: str
    text: str = ""
    start: float = 0.0
    duration: float | None = None

    @property
    def stem(self) -> str:
        """The file's own name without its ending: the same for one prompt read by several speakers."""
        return Path(self.name).stem


@dataclass(frozen=True)
class Skipped:
    """A recording, or a line of a table, that is left out.

    Attributes:
        name: of the recording; for lines the file and the line.
        reason: the same for all with the same flaw.
        detail: what is particular to this one.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass
class SpeechReport:
    """What was left out and why, and what else is worth knowing."""

    skipped: list[Skipped] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def skip(self, name: str, reason: str, detail: str = "") -> None:
        """Leave one out."""
        self.skipped.append(Skipped(name, reason, detail))

    @property
    def counts(self) -> dict[str, int]:
        """How many were left out for each reason."""
        return dict(sorted(Counter(entry.reason for entry in self.skipped).items()))

    def rows(self) -> list[dict[str, Any]]:
        """The entries as JSON values."""
        return [asdict(entry) for entry in self.skipped]


def printable(text: str) -> str:
    """Text that any file can hold: bytes that are no Unicode, and control characters, are spelled out."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def speaker_of(name: str, default: str) -> str:
    """The speaker that a path inside a folder names: its first folder that is not called `wav` or the like.

    Args:
        name: the path, with slashes.
        default: who it is where no folder says.
    """
    folders = name.split("/")[:-1]
    return next((part for part in folders if part.lower() not in _GENERIC), default)
