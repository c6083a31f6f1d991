"""Lines that name a sound file each: of tables with or without a header, and of JSON."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from seqvae.data.speech.layouts.files import clean_text, lines_of
from seqvae.data.speech.records import SpeechReport
from seqvae.errors import UserError

FILE: tuple[str, ...] = ("file_name", "audio_filepath", "audio_file", "audio_path", "audio")
FILE += ("filename", "file", "path", "wav", "wav_path", "wav_file")
SPEAKER = ("speaker", "speaker_id", "speaker_name", "spk", "sid", "client_id")
TEXT = ("normalized_text", "normalised_text", "text", "transcription", "transcript", "sentence")

# Lines looked at to tell what the columns of a table without a header are.
_SAMPLE = 64


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        number: of the line, from 1.
        file: as written.
        speaker: empty if the line does not say.
        text: likewise.
        start: seconds; None: the line speaks of no part.
        duration: seconds, or None.
    """

    number: int
    file: str
    speaker: str = ""
    text: str = ""
    start: float | None = None
    duration: float | None = None


@dataclass(frozen=True)
class _Shape:
    """How a table is written.

    Attributes:
        separator: between fields; a comma's fields may be quoted.
        header: whether the first line names the columns.
        columns: numbers of the fields for file, speaker and text; None: there is none.
    """

    separator: str
    header: bool
    columns: tuple[int, int | None, int | None]


def table_rows(table: Path, label: str, report: SpeechReport) -> Iterator[Row]:
    """Lines of `file|speaker|text`, `id|text|normalised text`, `file|text`, or of a table with a header.

    Args:
        table: fields separated by |, tabs or, with a header, commas.
        label: how lines are called in the report.
        report: gets lines without a file, or that are too short.

    Raises:
        UserError: the first lines are nothing of this.
    """
    shape = _shape(table)
    file, speaker, text = shape.columns
    count = 1 + max(column or 0 for column in shape.columns)
    for number, fields in _fields(table, shape, count, report):
        if len(fields) < count:
            report.skip(f"{label}{number}", "too few columns", f"{len(fields)} of {count}")
        elif not fields[file].strip():
            report.skip(f"{label}{number}", "no file named")
        else:
            yield Row(
                number,
                fields[file].strip(),
                "" if speaker is None else clean_text(fields[speaker]),
                "" if text is None else clean_text(fields[text]),
            )


def json_rows(path: Path, label: str, report: SpeechReport) -> Iterator[Row]:
    """Lines of JSON objects with a file, and if there are any offset and duration, speaker and text.

    Args:
        path: the file.
        label: how lines are called in the report.
        report: gets unusable lines.

    Raises:
        UserError: not text, or it cannot be read.
    """
    for number, line in lines_of(path, report):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            report.skip(f"{label}{number}", "invalid JSON")
            continue
        if not isinstance(entry, dict):
            report.skip(f"{label}{number}", "not a JSON object")
            continue
        file = value_of(entry, FILE)
        start, duration = entry.get("offset"), entry.get("duration")
        if not file:
            report.skip(f"{label}{number}", "no file named")
        elif not (_is_time(start) and _is_time(duration)):
            report.skip(f"{label}{number}", "impossible offset or duration")
        else:
            text, speaker = clean_text(value_of(entry, TEXT)), clean_text(value_of(entry, SPEAKER))
            yield Row(number, file, speaker, text, start, duration)


def _shape(table: Path) -> _Shape:
    sample = [line for _, line in islice(lines_of(table, SpeechReport()), _SAMPLE)]
    first = sample[0] if sample else ""
    for separator in ("|", "\t", ","):
        names = [name.strip().strip('"').lower() for name in first.split(separator)]
        file = _position(names, FILE)
        if file is not None:
            return _Shape(
                separator, True, (file, _position(names, SPEAKER), _position(names, TEXT))
            )
    separator = "|" if "|" in first else "\t"
    fields = [line.split(separator) for line in sample]
    # What most lines have: single ones may be broken.
    counts = sorted(map(len, fields))
    count = counts[len(counts) // 2] if counts else 0
    if count < 2:
        raise UserError(
            f"{table}: neither file|speaker|text nor a header that names a column "
            f"{', '.join(FILE[:4])}...; the first line is {first[:80]!r}"
        )
    if count == 2:
        return _Shape(separator, False, (0, None, 1))
    # `id|text|normalised text` has spaces where `file|speaker|text` has a name.
    spaced = sum(" " in row[1].strip() for row in fields if len(row) > 1) > len(fields) / 2
    return _Shape(separator, False, (0, None, 2) if spaced else (0, 1, 2))


def _fields(
    table: Path, shape: _Shape, count: int, report: SpeechReport
) -> Iterator[tuple[int, list[str]]]:
    lines = lines_of(table, report)
    if shape.separator == ",":
        reader = csv.reader((line for _, line in lines), strict=False)
        for number, fields in enumerate(reader, 1):
            if number > 1:
                yield number, fields
        return
    for number, line in lines:
        # What stands behind the last column, a | in a text say, belongs to it; columns of a header are counted.
        most = -1 if shape.header else count - 1
        if not (shape.header and number == 1):
            yield number, line.rstrip("\r\n").split(shape.separator, most)


def _position(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def value_of(entry: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The first of some values that is there, as text; numbers name speakers too."""
    for key in keys:
        value = entry.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _is_time(value: object) -> bool:
    """Whether it is a time in seconds, or none is given."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7
