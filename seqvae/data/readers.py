"""Readers of the file formats: each yields blocks of records and holds one block in memory."""

import csv
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from seqvae.data.lines import SkipReport, read_lines
from seqvae.data.records import Columns, Records
from seqvae.data.sources import HUB, PLAIN, STDIN, Digest, Source, content_sha256, open_bytes
from seqvae.errors import UserError

_ROWS = 8192
# A quote that is never closed would otherwise swallow the rest of the file.
_LARGEST_FIELD = 1 << 20


def read_records(
    source: Source,
    columns: Columns,
    report: SkipReport,
    digest: Digest,
    on_bytes: Callable[[int], object],
    max_line_bytes: int,
) -> Iterator[Records]:
    """Read a source block by block.

    Args:
        source: what to read.
        columns: which columns of tables.
        report: gets what was skipped.
        digest: gets the content.
        on_bytes: told how many stored bytes were read.
        max_line_bytes: longer lines are skipped.

    Raises:
        UserError: not readable, not in its format, or without the wanted columns.
    """
    if source.kind in (*PLAIN, STDIN):
        if columns.wanted:
            raise UserError(
                f"{source.name}: plain text has no columns; name the file .csv, .tsv, .jsonl or .parquet"
            )
        with open_bytes(source, digest, on_bytes) as stream:
            for _, lines in read_lines(stream, source.name, report, max_line_bytes):
                yield Records([line for line in lines if line is not None])
        return
    if source.kind == ".parquet":
        blocks = _parquet(source, columns, digest, on_bytes)
    elif source.kind == HUB:
        blocks = _hub(source, columns, digest)
    elif source.kind == ".jsonl":
        blocks = _jsonl(source, columns, report, digest, on_bytes, max_line_bytes)
    else:
        blocks = _table(source, columns, report, digest, on_bytes, max_line_bytes)
    for rows in blocks:
        yield columns.build(rows, source.name, report, max_line_bytes)


Rows = list[tuple[int, list[Any]]]


def _jsonl(
    source: Source,
    columns: Columns,
    report: SkipReport,
    digest: Digest,
    on_bytes: Callable[[int], object],
    max_line_bytes: int,
) -> Iterator[Rows]:
    chosen: list[str] | None = None
    with open_bytes(source, digest, on_bytes) as stream:
        for first, lines in read_lines(stream, source.name, report, max_line_bytes):
            rows: Rows = []
            for number, line in enumerate(lines, first):
                if line is None or not line.strip():
                    continue
                try:
                    item = json.loads(line)
                except (ValueError, RecursionError):
                    report.add(source.name, number, "invalid JSON")
                    continue
                if not isinstance(item, dict):
                    report.add(source.name, number, "not a JSON object")
                    continue
                if chosen is None:
                    chosen = columns.locate(list(item), f"{source.name}, line {number}")
                rows.append((number, [item.get(name) for name in chosen]))
            yield rows


def _table(
    source: Source,
    columns: Columns,
    report: SkipReport,
    digest: Digest,
    on_bytes: Callable[[int], object],
    max_line_bytes: int,
) -> Iterator[Rows]:
    position = 0

    def feed() -> Iterator[str]:
        nonlocal position
        with open_bytes(source, digest, on_bytes) as stream:
            for first, lines in read_lines(stream, source.name, report, max_line_bytes):
                for position, line in enumerate(lines, first):  # noqa: B007
                    if line is not None:
                        yield line + "\n"

    if source.kind == ".tsv":
        # Quotes are ordinary characters in tab-separated text.
        table: Iterator[list[str]] = (line.rstrip("\n").split("\t") for line in feed())
    else:
        table = csv.reader(feed())
    places: list[int] | None = None
    previous = csv.field_size_limit(_LARGEST_FIELD)
    try:
        while block := list(islice(_numbered(table, lambda: position), _ROWS)):
            rows: Rows = []
            for number, row in block:
                if not row:
                    continue
                if places is None:
                    names = row if columns.header else [str(i) for i in range(1, len(row) + 1)]
                    chosen = columns.locate(names, f"{source.name}, line {number}")
                    places = [names.index(name) for name in chosen]
                    if columns.header:
                        continue
                if len(row) <= max(places):
                    report.add(source.name, number, "too few columns")
                    continue
                rows.append((number, [row[place] for place in places]))
            yield rows
    except csv.Error as error:
        raise UserError(
            f"{source.name}, line {position}: not valid CSV ({error}); is a quote left open?"
        ) from error
    finally:
        csv.field_size_limit(previous)


def _numbered(
    table: Iterator[list[str]], line: Callable[[], int]
) -> Iterator[tuple[int, list[str]]]:
    for row in table:
        yield line(), row


def _parquet(
    source: Source, columns: Columns, digest: Digest, on_bytes: Callable[[int], object]
) -> Iterator[Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest.update(bytes.fromhex(content_sha256(source)))
    try:
        with pq.ParquetFile(source.path) as table:
            chosen = columns.locate(table.schema_arrow.names, source.name)
            for name in chosen[: len(chosen) - len(columns.told)]:
                kind = table.schema_arrow.field(name).type
                if pa.types.is_dictionary(kind):
                    kind = kind.value_type
                if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                    raise UserError(f"{source.name}: column {name!r} holds {kind}, not text")
            number = 1
            total = table.metadata.num_rows
            for batch in table.iter_batches(batch_size=_ROWS, columns=list(dict.fromkeys(chosen))):
                values = [batch.column(name).to_pylist() for name in chosen]
                yield [(number + i, list(row)) for i, row in enumerate(zip(*values, strict=True))]
                number += batch.num_rows
                on_bytes(source.size * batch.num_rows // max(total, 1))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{source.name}: not a readable parquet file ({error})") from error


def _hub(source: Source, columns: Columns, digest: Digest) -> Iterator[Rows]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError(
            f"{source.name}: reading the hub needs the extra `datasets`: pip install 'seqvae[datasets]'"
        ) from error
    name, _, split = source.name.removeprefix(HUB).partition(":")
    try:
        items = iter(load_dataset(name, split=split or "train", streaming=True))
    except (OSError, ValueError) as error:
        raise UserError(f"{source.name}: cannot load the data set ({error})") from error
    chosen: list[str] | None = None
    number = 1
    while block := list(islice(items, _ROWS)):
        if chosen is None:
            chosen = columns.locate(list(block[0]), source.name)
        rows: Rows = [
            (number + i, [item.get(name) for name in chosen]) for i, item in enumerate(block)
        ]
        digest.update(json.dumps([values for _, values in rows], default=str).encode())
        number += len(rows)
        yield rows
