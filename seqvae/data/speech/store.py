"""Recordings in memory-mapped Arrow files: shards of sound and frames, and an index for each split."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqvae.data.speech.energy import Floats
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError

if TYPE_CHECKING:  # models run where there is no pyarrow
    import pyarrow as pa

IntArray = np.ndarray[Any, np.dtype[np.int32]]

SOUND = {"audio": "int16", "mel": "float16", "pitch": "float32"}
"""Lists of a shard, one of each a recording.

Rounding log-mel frames to 16 bits costs 0.001 of a natural logarithmic unit, where a model errs by 0.3."""
INDEX = {
    "shard": "int32",
    "row": "int32",
    "speaker": "int32",
    "frames": "int32",
    "gain": "float32",
    "name": "string",
    "text": "string",
}
"""Columns of the index of a split."""


class SpeechStore:
    """A split of a speech corpus.

    Args:
        index: the split's Arrow file; None is a split without recordings.
        shards: the files of sound and frames, in order.
        settings: of the frames.

    Raises:
        UserError: the index is missing, damaged or not one of ours. The same from the methods that
            read a damaged shard.
    """

    def __init__(self, index: Path | None, shards: Sequence[Path], settings: MelSettings) -> None:
        self.settings = settings
        self._index = None if index is None else _open_index(index, len(shards))
        self._shards = [_Shard(path) for path in shards]

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.num_rows)

    @cached_property
    def frames(self) -> IntArray:
        """Frames of every recording, [N]."""
        return self._integers("frames")

    @cached_property
    def speaker(self) -> IntArray:
        """Speaker of every recording, a number of the corpus's `speakers`, [N]."""
        return self._integers("speaker")

    @cached_property
    def gain(self) -> Floats:
        """Factor by which every recording was made louder, [N]; dividing by it gives the source's level."""
        if self._index is None:
            return np.zeros(0, np.float32)
        gains: Floats = self._index.column("gain").to_numpy()
        return gains

    @property
    def seconds(self) -> float:
        """Length of all recordings together."""
        return float(self.frames.sum(dtype=np.int64)) / self.settings.frame_rate

    def mel(self, index: int, start: int = 0, frames: int | None = None) -> Floats:
        """Log-mel frames, float32 [T, mels].

        Args:
            index: of the recording.
            start: first frame.
            frames: how many; None is all from there. Fewer come back at the end of the recording.
        """
        mels = self.settings.mels
        values = self._read("mel", index, mels, start, frames)
        return values.reshape(-1, mels).astype(np.float32)

    def pitch(self, index: int, start: int = 0, frames: int | None = None) -> Floats:
        """Fundamental frequency of every frame, Hz, 0 where unvoiced, float32 [T]; see `mel`."""
        return self._read("pitch", index, 1, start, frames).astype(np.float32)

    def audio(self, index: int, start: int = 0, frames: int | None = None) -> Floats:
        """Samples of the frames, float32 [T * hop] in [-1, 1]; see `mel`."""
        numbers = self._read("audio", index, self.settings.hop, start, frames)
        return numbers.astype(np.float32) / np.float32(32768.0)

    def name(self, index: int) -> str:
        """Where a recording came from: a path inside the input, the number of the piece if it was cut."""
        return self._string("name", index)

    def text(self, index: int) -> str:
        """What is said in a recording; empty if nobody knows."""
        return self._string("text", index)

    def _read(
        self, column: str, index: int, width: int, start: int, frames: int | None
    ) -> np.ndarray[Any, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"recording {index} of {len(self)}")
        length = int(self.frames[index])
        if not 0 <= start <= length:
            raise IndexError(f"frame {start} of {length}")
        stop = length if frames is None else min(length, start + frames)
        shard = self._shards[self._places[0][index]]
        values = shard.row(column, int(self._places[1][index]))
        if len(values) != length * width:
            raise UserError(f"{shard.path}: damaged; prepare the corpus again")
        part: np.ndarray[Any, Any] = values[start * width : stop * width]
        return part

    @cached_property
    def _places(self) -> tuple[IntArray, IntArray]:
        return self._integers("shard"), self._integers("row")

    def _integers(self, name: str) -> IntArray:
        if self._index is None:
            return np.zeros(0, np.int32)
        values: IntArray = self._index.column(name).to_numpy()
        return values

    def _string(self, name: str, index: int) -> str:
        if self._index is None or not 0 <= index < len(self):
            raise IndexError(f"recording {index} of {len(self)}")
        return str(self._index.column(name)[index].as_py())


class _Shard:
    """One file of sound, opened when it is first read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _batches(self) -> tuple[list[dict[str, tuple[IntArray, Any]]], "np.ndarray[Any, Any]"]:
        batches = read_batches(self.path, {name: f"list<{kind}>" for name, kind in SOUND.items()})
        columns = [
            {name: _plain(batch.column(name), self.path) for name in SOUND} for batch in batches
        ]
        return columns, np.cumsum([0, *(batch.num_rows for batch in batches)])

    def row(self, column: str, row: int) -> np.ndarray[Any, Any]:
        batches, starts = self._batches
        if not 0 <= row < starts[-1]:
            raise UserError(f"{self.path}: damaged; prepare the corpus again")
        number = int(np.searchsorted(starts, row, side="right")) - 1
        offsets, values = batches[number][column]
        row -= int(starts[number])
        return values[offsets[row] : offsets[row + 1]]  # type: ignore[no-any-return]


def _plain(column: "pa.ListArray", path: Path) -> tuple[IntArray, Any]:
    """A list column as offsets and values over the mapped file."""
    offsets: IntArray = column.offsets.to_numpy()
    values = column.values.to_numpy()
    if offsets[0] < 0 or offsets[-1] > len(values) or bool((np.diff(offsets) < 0).any()):
        raise UserError(f"{path}: the shard's offsets are damaged; prepare the corpus again")
    return offsets, values


def _open_index(path: Path, shards: int) -> "pa.RecordBatch":
    import pyarrow as pa

    batches = read_batches(path, INDEX)
    if len(batches) != 1:
        raise UserError(f"{path}: {len(batches)} record batches instead of 1; prepare it again")
    index = batches[0]
    places, lengths = (index.column(name).to_numpy() for name in ("shard", "frames"))
    try:
        index.validate(full=True)  # names and texts among them
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: damaged ({error}); prepare the corpus again") from error
    if len(places) and not (0 <= places.min() and places.max() < shards and lengths.min() >= 0):
        raise UserError(f"{path}: damaged; prepare the corpus again")
    return index


def read_batches(path: Path, columns: dict[str, str]) -> list["pa.RecordBatch"]:
    """The record batches of a memory-mapped Arrow file.

    Args:
        path: of the file, which is not trusted.
        columns: names and types that it must have.

    Raises:
        UserError: missing, truncated, or with other columns.
    """
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot read it ({error}); prepare the corpus again") from error
    schema = schema_of(columns)
    for batch in batches:
        if batch.schema != schema or any(column.null_count for column in batch.columns):
            raise UserError(f"{path}: not a file of this version; prepare the corpus again")
    return batches


def schema_of(columns: dict[str, str]) -> "pa.Schema":
    """Arrow's schema of columns like `INDEX`, or `list<...>` of them."""
    import pyarrow as pa

    def kind(name: str) -> "pa.DataType":
        if name.startswith("list<"):
            return pa.list_(kind(name[5:-1]))
        return pa.type_for_alias(name)

    return pa.schema([pa.field(name, kind(text)) for name, text in columns.items()])
