"""Data sets of Hugging Face: parquet files with sound inside, saved data sets, and the hub."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seqvae.data.speech.layouts.files import clean_text, walk
from seqvae.data.speech.layouts.rows import SPEAKER, TEXT, value_of
from seqvae.data.speech.records import SpeechReport, Take, printable
from seqvae.errors import UserError

HUB = "hf:"
Keep = Callable[[bytes], Path]
"""Puts the content of a sound file into a file of its own."""

_ROWS = 64
# Largest sound inside a table, bytes.
_LARGEST = 1 << 30


def is_data_set(root: Path) -> bool:
    """Whether a folder is a saved data set, or holds parquet files, or it is such a file.

    Raises:
        UserError: it is a saved group of data sets.
    """
    if root.is_file():
        return root.suffix == ".parquet"
    if (root / "dataset_dict.json").is_file():
        raise UserError(
            f"{root}: several splits of a data set; name the folder of one, as {root / 'train'}"
        )
    return (root / "state.json").is_file() or next(_parquet_files(root), None) is not None


def data_set_takes(source: str, report: SpeechReport, keep: Keep) -> Iterator[Take]:
    """The recordings of a data set, whose sound is not decoded here.

    Args:
        source: a parquet file, a folder of them, a folder of `Dataset.save_to_disk`, or hf:NAME[:SPLIT].
        report: gets rows without sound.
        keep: gets sound that is stored inside the table.

    Raises:
        UserError: not readable, no column of sounds, or the package `datasets` is needed and not installed.
    """
    root = Path(source)
    default = printable(source.removeprefix(HUB).partition(":")[0].rstrip("/").rsplit("/", 1)[-1])
    if source.startswith(HUB) or (root / "state.json").is_file():
        rows = _data_set(source)
    else:
        rows = _parquet(root)
    for number, (column, row) in enumerate(rows):
        name = f"{default}, row {number}"
        sound = row.get(column)
        if not isinstance(sound, Mapping) or not (sound.get("bytes") or sound.get("path")):
            report.skip(name, "no sound in the row")
            continue
        data, path = sound.get("bytes"), str(sound.get("path") or "")
        if data and len(data) > _LARGEST:
            report.skip(name, "far too large", f"{len(data)} bytes")
            continue
        speaker = clean_text(value_of(row, SPEAKER)) or default
        inside = f"{number:07d}-{printable(Path(path).name) or 'sound.wav'}"
        file = keep(data) if data else Path(path)
        yield Take(file, inside, speaker, clean_text(value_of(row, TEXT)))


def _parquet_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    elif root.is_dir():
        for folder, files in walk(root):
            yield from (folder / name for name in files if name.endswith(".parquet"))


def _parquet(root: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in _parquet_files(root):
        try:
            with pq.ParquetFile(path) as table:
                schema = table.schema_arrow
                sounds = [field.name for field in schema if _is_sound(field.type)]
                if not sounds:
                    raise UserError(
                        f"{path}: no column of sounds (a structure of bytes and path); it has "
                        f"{', '.join(schema.names[:20])}"
                    )
                wanted = [n for n in schema.names if n == sounds[0] or n in (*SPEAKER, *TEXT)]
                for batch in table.iter_batches(batch_size=_ROWS, columns=wanted):
                    for row in batch.to_pylist():
                        yield sounds[0], row
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: not a readable parquet file ({error})") from error


def _is_sound(kind: Any) -> bool:  # noqa: ANN401 (pyarrow has no types)
    import pyarrow as pa

    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _data_set(source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"{source}: reading it needs the extra `datasets`: pip install 'seqvae[datasets]'"
        ) from error
    name, _, split = source.removeprefix(HUB).partition(":")
    try:
        if source.startswith(HUB):
            rows = datasets.load_dataset(name, split=split or "train", streaming=True)
        else:
            rows = datasets.load_from_disk(source)
    except (OSError, ValueError) as error:
        raise UserError(f"{source}: cannot load the data set ({error})") from error
    features = rows.features
    if features is None:
        raise UserError(f"{source}: the data set does not say what its columns are")
    sounds = [name for name, kind in features.items() if isinstance(kind, datasets.Audio)]
    if not sounds:
        raise UserError(f"{source}: no column of sounds; it has {', '.join(features)}")
    # Decoding is soundfile's business here: that of `datasets` needs torchcodec and FFmpeg, and so does looking
    # at its rows other than as Arrow tables.
    rows = rows.cast_column(sounds[0], datasets.Audio(decode=False)).with_format("arrow")
    for table in rows.iter(batch_size=_ROWS):
        for row in table.to_pylist():
            yield sounds[0], row
