"""Sequences to the shards of three splits and dataset.json."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqvae.data.folder import FORMATS, META, fingerprint_of
from seqvae.data.frames.corpus import SPLITS
from seqvae.data.frames.moments import Moments
from seqvae.data.frames.sequences import Floats, Sequences
from seqvae.data.frames.store import SHARD_NUMBERS, write_shard
from seqvae.data.storage import file_sha256
from seqvae.errors import UserError

SKIPPED = "skipped.jsonl"
# Listed by name; the rest is only counted.
_LISTED = 1000


@dataclass(frozen=True)
class Treatment:
    """What is done to every sequence, and where it goes; see `FramesSettings`."""

    divide: float
    binarise: float | None
    max_length: int
    valid: float
    test: float
    most_held_out: int
    unseen: tuple[str, ...]
    seed: int

    def treated(self, values: npt.NDArray[Any]) -> Floats:
        """Numbers as they will be learned, float32."""
        # A number too great for float32 becomes infinite, and its sequence is left out.
        with np.errstate(over="ignore"):
            found = (values.astype(np.float64) / self.divide).astype(np.float32)
        if self.binarise is None:
            return found
        binary: Floats = np.where(np.isnan(found), found, found > self.binarise).astype(np.float32)
        return binary

    def flaw(self, values: Floats) -> str | None:
        """Why treated frames [T, F] cannot be used."""
        if not len(values):
            return "no frames"
        if len(values) > self.max_length:
            return f"longer than {self.max_length} frames"
        if not np.isfinite(values).all():
            return "a number is missing or not finite"
        return None


class _Splits:
    """The shards of the splits, and what is known of what is in them."""

    def __init__(self, folder: Path, features: int) -> None:
        self.folder = folder
        self.rows: dict[str, list[tuple[Floats, int, int]]] = {name: [] for name in SPLITS}
        self.pending = dict.fromkeys(SPLITS, 0)
        self.shards: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
        self.sequences, self.frames = Counter[str](), Counter[str]()
        self.moments = Moments(features)
        self.least, self.greatest, self.longest = np.inf, -np.inf, 0

    def add(self, split: str, values: Floats, label: int, item: int) -> None:
        """One sequence."""
        self.rows[split].append((values, label, item))
        self.sequences[split] += 1
        self.frames[split] += len(values)
        self.longest = max(self.longest, len(values))
        self.least = min(self.least, float(values.min()))
        self.greatest = max(self.greatest, float(values.max()))
        self.pending[split] += values.size
        if self.pending[split] >= SHARD_NUMBERS:
            self.flush(split)

    def flush(self, split: str) -> None:
        """Write what is pending."""
        rows = self.rows[split]
        if not rows:
            return
        path = self.folder / f"{split}-{len(self.shards[split]):05d}.arrow"
        write_shard(path, rows)
        if split == "train":
            self.moments.add(np.concatenate([values for values, _, _ in rows]))
        entry = {"name": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        self.shards[split].append(entry)
        self.rows[split], self.pending[split] = [], 0


def write_corpus(
    folder: Path,
    found: Sequence[Sequences],
    held: Sequence[Sequences],
    treatment: Treatment,
    facts: dict[str, Any],
) -> Counter[str]:
    """Write a corpus into an empty folder.

    Args:
        folder: written to.
        found: to train on.
        held: to test on; none: a share of `found`.
        treatment: of the sequences.
        facts: for dataset.json.

    Returns:
        How many sequences were left out for each reason.

    Raises:
        UserError: features or labels differ between the files, or nothing usable is left.
    """
    every = [*found, *held]
    features, names = _features(every), _labels(every)
    unknown = set(treatment.unseen) - set(names)
    if unknown:
        known = ", ".join(names) or "none"
        raise UserError(f"--unseen {min(unknown)}: no such label; there are: {known}")
    numbers = {name: number for number, name in enumerate(names)}
    total = sum(len(source) for source in found)
    splits, left_out, item = _Splits(folder, features), Counter[str](), 0
    with (folder / SKIPPED).open("w", encoding="utf-8") as listed:
        for number, source in enumerate(every):
            to_test = number >= len(found)
            for row, (raw, label) in enumerate(_rows(source)):
                values = treatment.treated(raw)
                reason = treatment.flaw(values)
                if reason is None:
                    where = "test" if to_test or label in treatment.unseen else ""
                    where = where or _split(values, treatment, total, bool(held))
                    splits.add(where, values, -1 if label is None else numbers[label], item)
                else:
                    if left_out.total() < _LISTED:
                        entry = {"source": source.name, "sequence": row, "reason": reason}
                        listed.write(json.dumps(entry) + "\n")
                    left_out[reason] += 1
                item += 1
    for name in SPLITS:
        splits.flush(name)
    if not splits.sequences["train"]:
        raise UserError(f"no sequence to train on is left; {dict(left_out)} skipped of {item}")
    _write_meta(folder, splits, names, {**facts, "skipped": dict(sorted(left_out.items()))})
    return left_out


def _write_meta(folder: Path, splits: _Splits, labels: list[str], facts: dict[str, Any]) -> None:
    name, version = FORMATS["frames"]
    moments = splits.moments
    meta: dict[str, Any] = {
        "format": name,
        "version": version,
        **facts,
        "features": len(moments.mean),
        "longest": splits.longest,
        "labels": labels,
        "statistics": {
            "mean": moments.mean.tolist(),
            "std": moments.deviation().tolist(),
            "least": splits.least,
            "greatest": splits.greatest,
        },
        "splits": {
            split: {
                "sequences": splits.sequences[split],
                "frames": splits.frames[split],
                "shards": splits.shards[split],
            }
            for split in SPLITS
        },
    }
    meta["fingerprint"] = fingerprint_of(meta)
    (folder / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def _rows(source: Sequences) -> Iterator[tuple[npt.NDArray[Any], str | None]]:
    starts = np.cumsum([0, *source.lengths])
    for row in range(len(source)):
        label = None if source.labels is None else source.labels[row]
        yield source.values[starts[row] : starts[row + 1]], label


def _split(values: Floats, treatment: Treatment, total: int, has_test: bool) -> str:
    """By a seeded hash of what the sequence is, so that equal ones stay together."""
    key = treatment.seed.to_bytes(16, "little", signed=True)
    digest = hashlib.blake2b(values.tobytes(), digest_size=8, key=key).digest()
    place = int.from_bytes(digest, "little") / 2**64
    most = treatment.most_held_out / max(total, 1)
    test = 0.0 if has_test else min(treatment.test, most)
    if place < test:
        return "test"
    return "valid" if place < test + min(treatment.valid, most) else "train"


def _features(sources: Sequence[Sequences]) -> int:
    first = sources[0]
    for source in sources[1:]:
        if source.features != first.features:
            raise UserError(
                f"{source.name} has {source.features} features a frame, {first.name} {first.features}"
            )
    return first.features


def _labels(sources: Sequence[Sequences]) -> list[str]:
    """All labels, integers in their order."""
    with_labels = [source.labels is not None for source in sources]
    if any(with_labels) != all(with_labels):
        name = sources[with_labels.index(False)].name
        raise UserError(f"{name} has no labels and another input has; label all of them, or none")
    found = {label for source in sources for label in source.labels or ()}
    if all(label.lstrip("-").isdigit() for label in found):
        return sorted(found, key=int)
    return sorted(found)
