"""Recordings listed in a file: a table, the metadata of an AudioFolder, a manifest of JSON lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import final

from seqvae.data.speech.layouts.files import Finder, name_in
from seqvae.data.speech.layouts.layout import Layout
from seqvae.data.speech.layouts.rows import json_rows, table_rows
from seqvae.data.speech.records import SpeechReport, Take, printable, speaker_of
from seqvae.errors import UserError

_TABLES = (".csv", ".tsv", ".psv", ".txt", ".list")
_MANIFESTS = (".jsonl", ".json")


@final
class Table(Layout):
    """A text file with a line for each recording: `file|speaker|text`, `path|sid|text`, `file|text`.

    Fields may also be separated by tabs. A first line that names columns (file_name, path, audio..., speaker,
    text, sentence...) is believed, with commas too. Files are looked for beside the table and in wavs, wav,
    clips and audio there, with or without their endings.
    """

    name = "table"
    expects = "a .csv, .tsv or .txt with lines file|speaker|text, or with a header that names such columns"

    def matches(self, root: Path) -> bool:
        """Whether it is named like such a file, or a folder with just one whose first line leads to a sound."""
        table = _only(root, _TABLES)
        if table is None or root.is_file():
            return table is not None
        try:
            first = next(table_rows(table, "", SpeechReport()), None)
        except UserError:
            return False
        return first is not None and Finder(table.parent)(first.file).is_file()

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every line."""
        table = _required(root, _TABLES)
        find, default = Finder(table.parent), _name_of(table.parent)
        for row in table_rows(table, _label(table), report):
            path = find(row.file)
            name = name_in(table.parent, path)
            yield Take(path, name, row.speaker or speaker_of(name, default), row.text)


@final
class AudioFolder(Layout):
    """Hugging Face's AudioFolder: metadata.csv or metadata.jsonl that names files in a column file_name,
    in the folder itself or in one folder of it for each split."""

    name = "audiofolder"
    expects = "metadata.csv or metadata.jsonl with a column file_name (and speaker, text or transcription)"

    def matches(self, root: Path) -> bool:
        """Whether there is such a file."""
        return bool(self._tables(root))

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every line of every such file."""
        for table in self._tables(root):
            rows = json_rows if table.suffix == ".jsonl" else table_rows
            for row in rows(table, _label(table, root), report):
                path = table.parent / row.file
                name = name_in(root, path)
                speaker = row.speaker or speaker_of(name, _name_of(root))
                yield Take(path, name, speaker, row.text)

    @staticmethod
    def _tables(root: Path) -> list[Path]:
        if not root.is_dir():
            return []
        names = ("metadata.csv", "metadata.jsonl")
        found = [root / n for n in names] + [p for n in names for p in sorted(root.glob(f"*/{n}"))]
        return [path for path in found if path.is_file() and b"file_name" in _head(path)]


@final
class Manifest(Layout):
    """JSON lines as NeMo has them: audio_filepath, and if there are any offset and duration in seconds,
    speaker, text. A duration without an offset is not a part of the file but all of it."""

    name = "manifest"
    expects = 'a .jsonl or .json with lines {"audio_filepath": ..., "speaker": ..., "text": ...}'

    def matches(self, root: Path) -> bool:
        """Whether it is named like such a file, or a folder with just one that has a usable line."""
        path = _only(root, _MANIFESTS)
        if path is None or root.is_file():
            return path is not None
        try:
            return any(True for _ in json_rows(path, "", SpeechReport()))
        except UserError:
            return False

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every line."""
        path = _required(root, _MANIFESTS)
        for row in json_rows(path, _label(path), report):
            sound = path.parent / row.file
            name = name_in(path.parent, sound)
            speaker = row.speaker or speaker_of(name, _name_of(path.parent))
            if row.start is None:
                yield Take(sound, name, speaker, row.text)
            else:
                # Several parts of one file need several names.
                part = f"{name.removesuffix(sound.suffix)}@{row.start:g}{sound.suffix}"
                yield Take(sound, part, speaker, row.text, row.start, row.duration)


def _only(root: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The file itself, or the only one in a folder, if its name ends so."""
    if root.is_file():
        return root if root.suffix.lower() in suffixes else None
    if not root.is_dir():
        return None
    found = [p for p in sorted(root.iterdir()) if p.suffix.lower() in suffixes and p.is_file()]
    usual = [p for p in found if p.stem.lower() in ("metadata", "manifest")]
    found = usual or found
    return found[0] if len(found) == 1 else None


def _required(root: Path, suffixes: tuple[str, ...]) -> Path:
    path = _only(root, suffixes)
    if path is None:
        raise UserError(
            f"{root}: not a file ending in {', '.join(suffixes)}, nor a folder with one"
        )
    return path


def _label(table: Path, root: Path | None = None) -> str:
    return f"{name_in(root or table.parent, table)}, line "


def _name_of(folder: Path) -> str:
    return printable(folder.resolve().name) or "speaker"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(4096)
    except OSError:
        return b""
