"""One part of a corpus: some recordings read, turned into frames, and written as a shard; run by workers."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from seqvae.data.speech.audio import BadSound
from seqvae.data.speech.energy import Floats
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.pitch import PitchSettings, track_pitch
from seqvae.data.speech.records import Skipped, Take
from seqvae.data.speech.store import SOUND, schema_of
from seqvae.data.speech.utterances import Treatment, Utterance, utterances_of
from seqvae.data.storage import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

# Samples of a record batch: 8 MB of sound, which is what a worker holds beside one utterance.
_BATCH = 1 << 22


@dataclass(frozen=True)
class Row:
    """What is known of a stored utterance.

    Attributes:
        take: number of its recording in the part.
        name: its own.
        cut: whether it is a piece of a longer recording.
        frames: how many.
        gain: by which it was made louder.
        digest: of its samples; the same sound has the same.
    """

    take: int
    name: str
    cut: bool
    frames: int
    gain: float
    digest: str


@dataclass(frozen=True)
class Part:
    """What became of some recordings.

    Attributes:
        rows: stored utterances in the order of the shard.
        skipped: what was left out.
        sources: digest of each recording's file; empty where there is none.
        notes: how many recordings have something that is worth knowing.
        file: name, bytes and sha256 of the shard; None if nothing is in it.
    """

    rows: list[Row]
    skipped: list[Skipped]
    sources: list[str]
    notes: dict[str, int]
    file: dict[str, Any] | None

    def write(self, path: Path) -> None:
        """Write it in one step, once the shard is on the disk."""
        partial = path.with_suffix(".new")
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(asdict(self), stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)

    @classmethod
    def read(cls, path: Path) -> "Part":
        """What `write` wrote."""
        content = json.loads(path.read_bytes())
        rows = [Row(**row) for row in content.pop("rows")]
        return cls(rows, [Skipped(**entry) for entry in content.pop("skipped")], **content)


def make_part(
    shard: Path, takes: Sequence[Take], treatment: Treatment, on_take: Callable[[float], None]
) -> Part:
    """Read recordings and write a shard of them.

    The bytes depend on the recordings and the treatment alone: one thread computes.

    Args:
        shard: the file to write.
        takes: recordings.
        treatment: what is done to them.
        on_take: told after each recording how many seconds of it are stored.

    Raises:
        UserError: soundfile or torchaudio is not installed.
    """
    rows: list[Row] = []
    skipped: list[Skipped] = []
    sources: list[str] = []
    notes: Counter[str] = Counter()
    last, digest = None, ""
    with _ShardWriter(shard, treatment.mel) as writer:
        for number, take in enumerate(takes):
            if take.path != last:
                # Parts of one file stand one after another: it is hashed once.
                last, digest = take.path, digest_of(take.path)
            sources.append(digest)
            first = len(rows)
            try:
                for found in utterances_of(take, treatment):
                    if isinstance(found, BadSound):
                        skipped.append(Skipped(found.name, found.reason, found.detail))
                        continue
                    if len(rows) == first:
                        notes.update(_notes(found, treatment.mel))
                    rows.append(writer.add(number, found))
            except BadSound as error:
                skipped.append(Skipped(error.name, error.reason, error.detail))
            hop, rate = treatment.mel.hop, treatment.mel.sample_rate
            on_take(sum(row.frames for row in rows[first:]) * hop / rate)
    return Part(rows, skipped, sources, dict(sorted(notes.items())), writer.file)


def digest_of(path: Path) -> str:
    """SHA-256 of a file; empty if it cannot be read."""
    try:
        return file_sha256(path)
    except OSError:
        return ""


def _notes(found: Utterance, mel: MelSettings) -> Iterator[str]:
    if found.rate < mel.sample_rate:
        yield f"sample rate below {mel.sample_rate} Hz: nothing in the upper mel bins"
    if found.channels > 1:
        yield "several channels, mixed"
    if found.piece is not None:
        yield "cut at pauses"


class _ShardWriter:
    """Writes utterances with their frames and pitch, a batch of them in memory.

    Attributes:
        file: name, bytes and sha256 of what was written, once it is closed; None if nothing was.
    """

    def __init__(self, path: Path, mel: MelSettings) -> None:
        import torch

        from seqvae.nn.mel import MelSpectrogram

        self.file: dict[str, Any] | None = None
        self._path, self._mel = path, mel
        self._frames_of = MelSpectrogram(mel)
        self._torch = torch
        # Three periods of the lowest pitch, as at 16 kHz, and even: a frame has a middle.
        window = 2 * round(PitchSettings().window * mel.sample_rate / 32_000)
        self._pitch = PitchSettings(window=max(window, mel.hop + mel.hop % 2))
        self._columns: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in SOUND}
        self._pending = 0
        self._writer: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> Self:
        self._threads = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._torch.set_num_threads(self._threads)
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            if kind is None:
                size, digest = self._path.stat().st_size, file_sha256(self._path)
                self.file = {"name": self._path.name, "bytes": size, "sha256": digest}

    def add(self, take: int, found: Utterance) -> Row:
        """Store one."""
        # Frames of what is stored, so that anybody can compute them again from it.
        samples = found.samples.astype(np.float32) / np.float32(32768.0)
        mel = self._mel_of(samples)
        self._columns["audio"].append(found.samples)
        self._columns["mel"].append(mel.astype(np.float16).reshape(-1))
        self._columns["pitch"].append(track_pitch(samples, self._mel, self._pitch))
        self._pending += len(samples)
        if self._pending >= _BATCH:
            self._flush()
        digest = hashlib.blake2b(found.samples.tobytes(), digest_size=16).hexdigest()
        return Row(take, found.name, found.piece is not None, len(mel), found.gain, digest)

    def _mel_of(self, samples: Floats) -> Floats:
        with self._torch.no_grad():
            frames: Floats = self._frames_of(self._torch.from_numpy(samples)[None])[0].numpy()
        return frames

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._pending:
            return
        schema = schema_of({name: f"list<{kind}>" for name, kind in SOUND.items()})
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._path), schema)
        arrays = []
        for parts in self._columns.values():
            offsets = np.cumsum([0, *map(len, parts)], dtype=np.int32)
            arrays.append(
                pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(parts)))
            )
            parts.clear()
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        self._pending = 0
