"""Looking into folders: sound files in a fixed order, small text files, lines of tables."""

import os
from collections.abc import Iterator
from pathlib import Path

from seqvae.data.lines import SkipReport, read_lines
from seqvae.data.speech.audio import SUFFIXES
from seqvae.data.speech.records import SpeechReport, printable
from seqvae.errors import UserError

# Longest line of a table or manifest, and largest file with one text, bytes.
_LONGEST_LINE = 1 << 20
_LARGEST_TEXT = 1 << 16


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders below `root` with the names of their files, both sorted; hidden ones left out.

    Links to folders are followed, into each folder once.
    """
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), sorted(name for name in files if not name.startswith("."))


def sound_files(root: Path) -> Iterator[Path]:
    """Sound files below a folder, by their endings, in sorted order of their folders."""
    for folder, files in walk(root):
        for name in files:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield folder / name


def name_in(root: Path, path: Path) -> str:
    """The path inside `root` with slashes; of a file that lies elsewhere its folder and name."""
    inside = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-2:]
    return printable("/".join(inside))


def folders_of(root: Path) -> list[Path]:
    """The folders directly in a folder, sorted, without hidden ones."""
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise UserError(f"{root}: cannot look into it ({error.strerror})") from error


def text_in(path: Path) -> str | None:
    """The text that a small file holds, on one line; None if there is none that can be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_TEXT + 1)
    except OSError:
        return None
    if len(data) > _LARGEST_TEXT:
        return None
    try:
        return clean_text(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None


def clean_text(text: str) -> str:
    """Text on one line: white space squeezed, control characters spelled out."""
    return printable(" ".join(text.split()))


def lines_of(path: Path, report: SpeechReport) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text file, empty ones left out, broken ones reported.

    Raises:
        UserError: not text, or it cannot be read.
    """
    broken = SkipReport(limit=1 << 20)
    try:
        with path.open("rb") as stream:
            for first, lines in read_lines(stream, path.name, broken, _LONGEST_LINE):
                for number, line in enumerate(lines, first):
                    if line and line.strip():
                        yield number, line
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error
    for entry in broken.entries:
        report.skip(f"{printable(path.name)}, line {entry['line']}", str(entry["reason"]))


class Finder:
    """Finds the files that a table names, with or without folder and ending.

    Args:
        folder: where the table lies.
    """

    _FOLDERS = ("", "wavs", "wav", "clips", "audio")
    _ENDINGS = ("", ".wav", ".flac", ".mp3", ".ogg")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ways = [(place, ending) for place in self._FOLDERS for ending in self._ENDINGS]

    def __call__(self, name: str) -> Path:
        """The file called `name`; where there is none, the path it would have."""
        for number, (place, ending) in enumerate(self._ways):
            path = self._folder / place / (name + ending)
            if path.is_file():
                if number:  # the next one is most likely found the same way
                    self._ways.insert(0, self._ways.pop(number))
                return path
        return self._folder / name
