"""Texts of files to vectors in a file, block by block."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqvae.data.lines import SkipReport, read_lines
from seqvae.data.readers import read_records
from seqvae.data.records import Columns
from seqvae.data.sources import PLAIN, STDIN, Source, find_sources, open_bytes
from seqvae.errors import UserError
from seqvae.tasks.texts import sample_each

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

BLOCK = 1024
"""Texts embedded at once: enough that texts of like length share batches."""
FORMATS = (".parquet", ".npy", ".jsonl")
_LONGEST_LINE = 1 << 20
Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Embedded:
    """What was done.

    Attributes:
        texts: vectors written.
        dimension: of each.
        skipped: texts left out, by reason.
        entries: the first of them: source, line and reason.
    """

    texts: int
    dimension: int
    skipped: dict[str, int]
    entries: list[dict[str, str | int]]


def embed_files(
    model: "TextModel",
    inputs: Sequence[str],
    out: Path,
    *,
    field: str = "text",
    key: str | None = None,
    header: bool = True,
    seed: int | None = None,
    log_variance: bool = False,
    overwrite: bool = False,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Embedded:
    """Write the posterior mean of every text of files; memory does not grow with them.

    `.parquet` has the columns `id`, `text`, `vector` (fixed-size list of float32) and, where asked for, `log_variance`;
    `.jsonl` the same as an object a line; `.npy` the vectors alone, [N, D]. The file appears when it is complete.

    Args:
        model: with a latent.
        inputs: files, folders, - for standard input: text (a line each), .csv, .tsv, .jsonl, .parquet, each also .gz.
        out: file to write; its ending says the format.
        field: column of the text in tables; without a header columns are called 1, 2, ...
        key: column that becomes `id`; by default it is SOURCE:LINE for text and SOURCE:RECORD for tables, from 1.
        header: the first row of .csv and .tsv has the names.
        seed: write a sample of each posterior under this seed instead of its mean.
        log_variance: write the log-variances too.
        overwrite: replace `out`.
        on_bytes: told how many stored bytes were read.

    Raises:
        UserError: the model has no latent, its posterior no log-variances, inputs are not readable or without a text
            that can be used, or `out` exists or has another ending.
    """
    latent = model.need_latent("embed")
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: name it {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; choose another name, or --overwrite")
    if log_variance and out.suffix == ".npy":
        raise UserError("log_variance: .npy holds vectors alone; name it .parquet or .jsonl")
    report = SkipReport()
    sources = find_sources(inputs)
    texts = 0
    partial = out.with_name(f"{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, type[_Writer]] = {".parquet": _Parquet, ".npy": _Npy, ".jsonl": _Jsonl}
    try:
        with kinds[out.suffix](partial, latent.dimension, log_variance) as writer:
            columns = Columns((field,), key, header=header)
            for block in _blocks(model, sources, columns, report, on_bytes):
                writer.write(_vectors(model, block, seed, log_variance))
                texts += len(block)
        if not texts:
            raise UserError(f"no text to embed ({report.counts.total():,} skipped: {_why(report)})")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return Embedded(texts, latent.dimension, dict(report.counts), report.entries)


@dataclass(frozen=True)
class _Text:
    key: str
    text: str
    ids: list[int]


@dataclass(frozen=True)
class _Vectors:
    keys: list[str]
    texts: list[str]
    vector: Array
    log_variance: Array | None


def _why(report: SkipReport) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in report.counts.items()) or "nothing there"


def _blocks(
    model: "TextModel",
    sources: Sequence[Source],
    columns: Columns,
    report: SkipReport,
    on_bytes: Callable[[int], object],
) -> Iterator[list[_Text]]:
    """Usable texts with their ids, `BLOCK` at a time."""
    block: list[_Text] = []
    for source in sources:
        for line, key, text in _texts(source, columns, report, on_bytes):
            ids = model.tokenizer.encode(text)
            if not text.strip():
                report.add(source.name, line, "empty")
                continue
            if len(ids) > model.max_pieces and not model.crop:
                report.add(source.name, line, f"longer than {model.max_pieces} pieces")
                continue
            block.append(_Text(key, text, ids[: model.max_pieces]))
            if len(block) == BLOCK:
                yield block
                block = []
    if block:
        yield block


def _texts(
    source: Source, columns: Columns, report: SkipReport, on_bytes: Callable[[int], object]
) -> Iterator[tuple[int, str, str]]:
    """Line (or record) numbers, ids and texts of a source."""
    digest = hashlib.sha256()
    if source.kind in (*PLAIN, STDIN):
        if columns.label:
            raise UserError(f"{source.name}: text has no column {columns.label!r} to take ids from")
        with open_bytes(source, digest, on_bytes) as stream:
            for first, lines in read_lines(stream, source.name, report, _LONGEST_LINE):
                for number, line in enumerate(lines, first):
                    if line is not None:
                        yield number, f"{source.name}:{number}", line
        return
    number = 0
    for records in read_records(source, columns, report, digest, on_bytes, _LONGEST_LINE):
        for place, text in enumerate(records.texts):
            number += 1
            key = records.labels[place] if records.labels else f"{source.name}:{number}"
            yield number, key, text


def _vectors(
    model: "TextModel", block: list[_Text], seed: int | None, log_variance: bool
) -> _Vectors:
    posterior = model.posterior([text.ids for text in block])
    z = posterior.mean
    if seed is not None:
        z = sample_each(posterior, [seed] * len(block), 1)[0]
    spread = getattr(posterior, "log_variance", None) if log_variance else None
    if log_variance and spread is None:
        raise UserError("log_variance: this model's posterior is no diagonal Gaussian and has none")
    return _Vectors(
        [text.key for text in block],
        [text.text for text in block],
        z.cpu().numpy().astype(np.float32),
        None if spread is None else spread.cpu().numpy().astype(np.float32),
    )


class _Writer(ABC):
    """A file of vectors, written block by block."""

    def __init__(self, path: Path, dimension: int, log_variance: bool) -> None:
        self.path = path
        self.dimension = dimension
        self.log_variance = log_variance

    @abstractmethod
    def write(self, block: _Vectors) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Parquet(_Writer):
    def __init__(self, path: Path, dimension: int, log_variance: bool) -> None:
        super().__init__(path, dimension, log_variance)
        vector = pa.list_(pa.float32(), dimension)
        fields = [("id", pa.string()), ("text", pa.string()), ("vector", vector)]
        self.schema = pa.schema(fields + [("log_variance", vector)] * log_variance)
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd")

    def write(self, block: _Vectors) -> None:
        arrays = [pa.array(block.keys), pa.array(block.texts)]
        for matrix in (block.vector, block.log_variance):
            if matrix is not None:
                arrays.append(pa.FixedSizeListArray.from_arrays(matrix.ravel(), self.dimension))
        self.file.write_table(pa.Table.from_arrays(arrays, schema=self.schema))

    def close(self) -> None:
        self.file.close()


class _Npy(_Writer):
    """The header says how many rows there are: numpy leaves room for the number to grow."""

    def __init__(self, path: Path, dimension: int, log_variance: bool) -> None:
        super().__init__(path, dimension, log_variance)
        self.file = path.open("wb")
        self.rows = 0
        self._header()

    def _header(self) -> None:
        shape = (self.rows, self.dimension)
        description = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, description)

    def write(self, block: _Vectors) -> None:
        self.file.write(block.vector.astype("<f4").tobytes())
        self.rows += len(block.vector)

    def close(self) -> None:
        self.file.seek(0)
        self._header()
        self.file.close()


class _Jsonl(_Writer):
    def __init__(self, path: Path, dimension: int, log_variance: bool) -> None:
        super().__init__(path, dimension, log_variance)
        self.file = path.open("w", encoding="utf-8")

    def write(self, block: _Vectors) -> None:
        for row, (key, text) in enumerate(zip(block.keys, block.texts, strict=True)):
            item: dict[str, Any] = {"id": key, "text": text, "vector": block.vector[row].tolist()}
            if block.log_variance is not None:
                item["log_variance"] = block.log_variance[row].tolist()
            self.file.write(json.dumps(item, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.file.close()
