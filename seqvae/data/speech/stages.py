"""The stages of preparing speech: make parts, hold out, measure, describe. Each can be resumed after."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from tqdm import tqdm

import seqvae
from seqvae.data.folder import FORMATS, META, fingerprint_of
from seqvae.data.speech.corpus import SPLITS
from seqvae.data.speech.held_out import Candidate, assign_splits
from seqvae.data.speech.part import Part, Row
from seqvae.data.speech.records import SpeechReport, Take
from seqvae.data.speech.settings import PrepareSpeech, settings_of
from seqvae.data.speech.store import INDEX, SpeechStore, schema_of
from seqvae.data.speech.workers import PartJob, run_jobs
from seqvae.data.storage import file_sha256
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError

SKIPPED = "skipped.jsonl"

# A part has at least so many bytes of source files or so many recordings, and there are about so many parts at
# most: each is a file that training keeps open.
_PART_BYTES, _PART_TAKES, _PARTS = 32 << 20, 128, 256
# Least standard deviation of a mel bin: above 4 kHz a telephone recording has the same nothing everywhere.
_LEAST_STD = 0.1

Place = tuple[int, int, Row]
"""Shard, row in it, and what is known of the utterance."""


class Stages:
    """One run of `prepare`.

    Args:
        config: what to do.
        workspace: where; held by the caller.
        takes: the recordings.
        report: what was left out so far.
        say: gets notices.
    """

    def __init__(
        self,
        config: PrepareSpeech,
        workspace: Workspace,
        takes: Sequence[Take],
        report: SpeechReport,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._workspace, self._say = config, workspace, say
        self._takes, self._report = takes, report

    def run(self) -> None:
        """Run what is not finished yet."""
        self._workspace.results.mkdir(exist_ok=True)
        parts = self._make_parts()
        self._describe(parts)

    def _make_parts(self) -> list[Part]:
        """Shards of all recordings; those that an interrupted run finished are there already."""
        folder = self._workspace.path / "parts"
        folder.mkdir(exist_ok=True)
        for stale in folder.glob("*.new"):
            stale.unlink()
        treatment = self._config.treatment
        jobs = []
        for number, takes in enumerate(_parts_of(self._takes)):
            shard = self._workspace.results / f"sound-{number:05d}.arrow"
            jobs.append(PartJob(shard, folder / f"{number:05d}.json", takes, treatment))
        missing = [job for job in jobs if not job.result.exists()]
        workers = self._config.workers or _processors()
        with _Progress(len(self._takes), sum(len(job.takes) for job in missing)) as progress:
            run_jobs(missing, workers, progress)
        return [Part.read(job.result) for job in jobs]

    def _describe(self, parts: list[Part]) -> None:
        """Index of each split, statistics, dataset.json."""
        rows, takes = _rows_of(parts, self._takes)
        self._report.skipped += [entry for part in parts for entry in part.skipped]
        rows, takes = self._without_repeats(rows, takes)
        for reason, count in self._report.counts.items():
            self._say(f"{count:,} left out: {reason}")
        if not rows:
            raise UserError(
                f"no usable recording among {len(self._takes):,}; see above for reasons"
            )
        for part in parts:
            self._report.notes.update(part.notes)
        for note, count in sorted(self._report.notes.items()):
            self._say(f"{count:,} recordings: {note}")
        candidates = [
            Candidate(take.speaker, row.name, take.stem, take.text, row.cut)
            for (_, _, row), take in zip(rows, takes, strict=True)
        ]
        splits = assign_splits(candidates, self._config, self._say)
        known = sorted({c.speaker for c, s in zip(candidates, splits, strict=True) if s == "train"})
        others = sorted({take.speaker for take in takes} - set(known))
        meta: dict[str, Any] = {
            "format": FORMATS["speech"][0],
            "version": FORMATS["speech"][1],
            "seqvae": seqvae.__version__,
            "settings": settings_of(self._config),
            "mel": asdict(self._config.mel),
            "speakers": known + others,
            "train_speakers": len(known),
            "sources": {
                "recordings": len(self._takes),
                "sha256": source_digest(self._takes, [d for part in parts for d in part.sources]),
            },
            "counts": {
                "recordings": len(self._takes),
                "utterances": len(rows),
                "left out": self._report.counts,
                "notes": dict(sorted(self._report.notes.items())),
            },
            "shards": [part.file for part in parts if part.file],
            "splits": self._write_indices(rows, takes, splits, known + others),
        }
        meta["statistics"] = self._statistics(meta)
        meta["fingerprint"] = fingerprint_of(meta)
        results = self._workspace.results
        listed = "".join(json.dumps(row) + "\n" for row in self._report.rows())
        (results / SKIPPED).write_text(listed, encoding="utf-8")
        text = json.dumps(meta, indent=2, sort_keys=True, ensure_ascii=False)
        (results / META).write_text(text + "\n", encoding="utf-8")
        self._workspace.finish("describe", {})

    def _without_repeats(
        self, rows: list[Place], takes: list[Take]
    ) -> tuple[list[Place], list[Take]]:
        """Of the same sound the first: a second one could be held out while training hears the first."""
        first: dict[str, int] = {}
        for index, (_, _, row) in enumerate(rows):
            earlier = first.setdefault(row.digest, index)
            if earlier != index:
                name = rows[earlier][2].name
                self._report.skip(row.name, "repeated", f"the same sound as {name}")
        kept = sorted(first.values())
        return [rows[index] for index in kept], [takes[index] for index in kept]

    def _write_indices(
        self,
        rows: Sequence[Place],
        takes: Sequence[Take],
        splits: Sequence[str],
        speakers: Sequence[str],
    ) -> dict[str, Any]:
        import pyarrow as pa

        numbers = {name: number for number, name in enumerate(speakers)}
        schema = schema_of(INDEX)
        described = {}
        for split in SPLITS:
            chosen = [index for index, name in enumerate(splits) if name == split]
            if not chosen:
                continue
            columns: dict[str, list[Any]] = {name: [] for name in INDEX}
            for index in chosen:
                shard, place, row = rows[index]
                take = takes[index]
                entry = {
                    "shard": shard,
                    "row": place,
                    "speaker": numbers[take.speaker],
                    "frames": row.frames,
                    "gain": row.gain,
                    "name": row.name,
                    # Nobody knows which words of it a piece holds.
                    "text": "" if row.cut else take.text,
                }
                for name, value in entry.items():
                    columns[name].append(value)
            path = self._workspace.results / f"{split}.arrow"
            batch = pa.RecordBatch.from_pydict(columns, schema=schema)
            with pa.ipc.new_file(str(path), schema) as writer:
                writer.write_batch(batch)
            frames = sum(columns["frames"])
            described[split] = {
                "recordings": len(chosen),
                "speakers": len(set(columns["speaker"])),
                "frames": frames,
                "seconds": round(frames / self._config.mel.frame_rate, 3),
                "index": {
                    "name": path.name,
                    "bytes": path.stat().st_size,
                    "sha256": file_sha256(path),
                },
            }
        return described

    def _statistics(self, meta: dict[str, Any]) -> dict[str, list[float]]:
        """Mean and standard deviation of each mel bin over the frames of the training split."""
        results = self._workspace.results
        shards = [results / shard["name"] for shard in meta["shards"]]
        store = SpeechStore(results / "train.arrow", shards, self._config.mel)
        total = np.zeros(self._config.mel.mels)
        squares = np.zeros_like(total)
        for index in range(len(store)):
            # Around a number in the middle of the range little is lost to rounding.
            mel = store.mel(index).astype(np.float64) + 5.0
            total += mel.sum(axis=0)
            squares += np.square(mel).sum(axis=0)
        count = int(store.frames.sum(dtype=np.int64))
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return {"mean": (mean - 5.0).tolist(), "std": np.maximum(std, _LEAST_STD).tolist()}


def _processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def source_digest(takes: Sequence[Take], contents: Sequence[str]) -> str:
    """Digest of recordings: what is known of each, and of their files' content."""
    digest = hashlib.sha256()
    for take, content in zip(takes, contents, strict=True):
        entry = [take.name, take.speaker, take.text, take.start, take.duration, content]
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()


def _parts_of(takes: Sequence[Take]) -> Iterator[list[Take]]:
    """Recordings in order, shared out by the size of their files."""
    sizes: list[int] = []
    last: Path | None = None
    for take in takes:
        size = 0
        if take.path != last and take.path.is_file():
            size = take.path.stat().st_size
        last = take.path
        sizes.append(size)
    most_bytes = max(_PART_BYTES, sum(sizes) // _PARTS)
    most_takes = max(_PART_TAKES, len(takes) // _PARTS)
    part: list[Take] = []
    held = 0
    for take, size in zip(takes, sizes, strict=True):
        if part and (held + size > most_bytes or len(part) >= most_takes):
            yield part
            part, held = [], 0
        part.append(take)
        held += size
    if part:
        yield part


def _rows_of(parts: Sequence[Part], takes: Sequence[Take]) -> tuple[list[Place], list[Take]]:
    """All utterances with their places, and the recording each is from."""
    rows: list[Place] = []
    sources: list[Take] = []
    first = shard = 0
    for part in parts:
        for place, row in enumerate(part.rows):
            rows.append((shard, place, row))
            sources.append(takes[first + row.take])
        first += len(part.sources)
        shard += part.file is not None
    return rows, sources


class _Progress:
    """A bar over recordings that tells how much sound is done, and how fast; for any thread."""

    def __init__(self, total: int, missing: int) -> None:
        self._bar = tqdm(
            desc="sound", total=total, initial=total - missing, unit="file", disable=None
        )
        self._seconds = 0.0
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, seconds: float) -> None:
        """One more recording, of so many seconds."""
        with self._lock:
            self._seconds += seconds
            self._bar.update()
            elapsed = self._bar.format_dict["elapsed"]
            hours = self._seconds / 3600
            speed = f"{hours / elapsed:.3f} h/s" if elapsed else ""
            self._bar.set_postfix_str(f"{hours:.2f} h of sound, {speed}", refresh=False)
