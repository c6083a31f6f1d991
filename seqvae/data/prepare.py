"""Raw text files to a corpus: tokens in shards, a tokenizer, and dataset.json that says what is in them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seqvae import __version__
from seqvae.data.corpus import FORMAT, META, TOKENIZER, VERSION, Corpus, fingerprint_of
from seqvae.data.lines import SkipReport
from seqvae.data.normalise import Normalisation, Normaliser
from seqvae.data.sources import Records, Source, find_sources, read_records
from seqvae.data.split import DROPPED, SPLITS, TRAIN, SplitRules, assign_splits, mix
from seqvae.data.spool import ByteArray, HashArray, Spool, SpoolWriter
from seqvae.data.storage import IntArray, encode_shard
from seqvae.data.text import ModelType, Tokenizer, train_tokenizer
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError


@dataclass(frozen=True)
class PrepareText:
    """Turn text files into a corpus to train on."""

    inputs: tuple[str, ...]
    """Files (.txt, .jsonl, .csv, .tsv, .parquet, each also .gz), folders of them, or - for standard input."""

    out: Path
    """Folder to write the corpus to."""

    vocab_size: int = 4096
    """Pieces of the tokenizer; a corpus too small for that many gets fewer."""

    model_type: ModelType = "unigram"
    """How the tokenizer splits text."""

    byte_fallback: bool = True
    """Spend 256 pieces on raw bytes, so that any text survives, rare characters included."""

    character_coverage: float = 0.9995
    """Share of the characters that get a piece of their own."""

    normalisation: Normalisation = "nfkc"
    """Unicode normalisation; nfkc also removes control characters."""

    lowercase: bool = False
    """Fold case."""

    max_length: int = 254
    """Longest sequence in tokens, start and end not counted; longer ones are skipped and counted."""

    min_length: int = 1
    """Shortest sequence in tokens."""

    valid: float = 0.05
    """Share held out for validation (at most --most-held-out lines), chosen by a seeded hash of the text."""

    test: float = 0.05
    """Share held out for testing."""

    most_held_out: int = 5000
    """Most lines held out for validation, and for testing."""

    valid_inputs: tuple[str, ...] = ()
    """Files for validation instead of a share; training lines that occur in them are dropped."""

    test_inputs: tuple[str, ...] = ()
    """Files for testing instead of a share."""

    deduplicate: bool = True
    """Drop repeated training lines (compared after normalisation)."""

    seed: int = 0
    """Of the split."""

    tokenizer_sample: int = 500_000
    """Most training lines that the tokenizer is trained on."""

    shard_tokens: int = 1 << 24
    """Tokens in a shard."""

    workers: int = 1
    """Threads that encode; the result does not depend on it."""

    max_line_bytes: int = 1 << 20
    """Longer lines are skipped and counted."""

    overwrite: bool = False
    """Replace OUT if it holds something else."""


# Settings that do not change what is written.
_NEUTRAL = ("inputs", "out", "valid_inputs", "test_inputs", "workers", "overwrite")
_SAMPLE_BYTES = 64 << 20


def prepare_text(config: PrepareText) -> Corpus:
    """Prepare a corpus.

    The result is the same, byte for byte, for the same input and settings. Interrupted and run again, it goes on
    after the last finished stage.

    Raises:
        UserError: unusable input or settings, or no space or permission to write.
    """
    roles = {
        TRAIN: find_sources(config.inputs),
        SPLITS["valid"]: find_sources(config.valid_inputs) if config.valid_inputs else [],
        SPLITS["test"]: find_sources(config.test_inputs) if config.test_inputs else [],
    }
    sources = [(code, source) for code, group in roles.items() for source in group]
    workspace = Workspace(config.out)
    with workspace.hold(_key(config, sources)):
        stages = _Stages(config, workspace, sources)
        stages.read()
        stages.split()
        stages.train()
        stages.encode()
        workspace.publish(config.overwrite)
    return Corpus.open(config.out)


def _settings(config: PrepareText) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in _NEUTRAL}


def _key(config: PrepareText, sources: list[tuple[int, Source]]) -> str:
    if any(source.path is None for _, source in sources):
        return ""
    state = [
        (code, source.name, str(source.path.resolve()), source.size, source.path.stat().st_mtime_ns)
        for code, source in sources
        if source.path is not None
    ]
    content = json.dumps([VERSION, __version__, _settings(config), state], default=str)
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class _Totals:
    sequences: int = 0
    tokens: int = 0
    bytes: int = 0
    words: int = 0
    too_long: int = 0
    too_short: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)


class _Stages:
    def __init__(
        self, config: PrepareText, workspace: Workspace, sources: list[tuple[int, Source]]
    ) -> None:
        self.config = config
        self.workspace = workspace
        self.sources = sources
        self.normaliser = Normaliser(config.normalisation, config.lowercase)

    def read(self) -> None:
        if self.workspace.is_finished("read"):
            return
        report = SkipReport()
        digests = []
        ranges = []
        seen = 0
        total = sum(source.size for _, source in self.sources)
        with (
            SpoolWriter(self.workspace.path, pairs=False, labels=False, groups=False) as spool,
            _bar("read", total) as bar,
        ):
            for code, source in self.sources:
                digest = hashlib.sha256()
                for records in read_records(
                    source, report, digest, bar.update, self.config.max_line_bytes
                ):
                    seen += len(records.texts)
                    self._spool(records, spool, report)
                digests.append({"name": source.name, "sha256": digest.hexdigest()})
                ranges.append([code, spool.records])
        if not spool.records:
            raise UserError("no usable line in the input")
        self.workspace.finish(
            "read",
            {
                "seen": seen + sum(report.counts.values()) - report.counts["empty"],
                "records": spool.records,
                "text_bytes": spool.text_bytes,
                "ranges": ranges,
                "sources": digests,
                "skipped": dict(report.counts),
                "report": report.entries,
            },
        )

    def _spool(self, records: Records, spool: SpoolWriter, report: SkipReport) -> None:
        texts = [self.normaliser(text) for text in records.texts]
        kept = [text for text in texts if text]
        report.counts["empty"] += len(texts) - len(kept)
        if kept:
            spool.append(kept, None, None, None)

    def split(self) -> None:
        if self.workspace.is_finished("split"):
            return
        read = self.workspace.result("read")
        spool = Spool(self.workspace.path, pairs=False)
        roles: ByteArray = np.zeros(len(spool), np.uint8)
        start = 0
        for code, stop in read["ranges"]:
            roles[start:stop] = code
            start = stop
        rules = SplitRules(
            valid=0.0 if self.config.valid_inputs else self.config.valid,
            test=0.0 if self.config.test_inputs else self.config.test,
            most=self.config.most_held_out,
            deduplicate=self.config.deduplicate,
            seed=self.config.seed,
        )
        dropped = assign_splits(spool, roles, rules)
        (self.workspace.path / "codes").write_bytes(roles.tobytes())
        self.workspace.finish("split", {"dropped": dict(dropped)})

    def train(self) -> None:
        if self.workspace.is_finished("tokenizer"):
            return
        model = train_tokenizer(
            self._sample(),
            vocab_size=self.config.vocab_size,
            model_type=self.config.model_type,
            byte_fallback=self.config.byte_fallback,
            character_coverage=self.config.character_coverage,
            normaliser=self.normaliser,
        )
        self.workspace.results.mkdir(exist_ok=True)
        (self.workspace.results / TOKENIZER).write_bytes(model)
        self.workspace.finish("tokenizer", {"vocab_size": Tokenizer(model).vocab_size})

    def _codes(self) -> ByteArray:
        return np.fromfile(self.workspace.path / "codes", np.uint8)

    def _sample(self) -> Iterator[str]:
        spool = Spool(self.workspace.path, pairs=False)
        codes = self._codes()
        training = int(np.count_nonzero(codes == TRAIN))
        mean = self.workspace.result("read")["text_bytes"] / len(spool)
        share = min(1.0, self.config.tokenizer_sample / training, _SAMPLE_BYTES / mean / training)
        threshold = np.uint64(min(int(share * 2.0**64), (1 << 64) - 1))
        for first, lines, _ in spool.chunks():
            hashes: HashArray = np.asarray(spool.hashes[first : first + len(lines)])
            wanted = (codes[first : first + len(lines)] == TRAIN) & (
                mix(hashes, self.config.seed + 1) <= threshold
            )
            yield from (lines[i] for i in np.flatnonzero(wanted))

    def encode(self) -> None:
        spool = Spool(self.workspace.path, pairs=False)
        codes = self._codes()
        read = self.workspace.result("read")
        model = (self.workspace.results / TOKENIZER).read_bytes()
        tokenizer = Tokenizer(model)
        writers = {
            code: _ShardWriter(self.workspace.results, name, self.config.shard_tokens)
            for name, code in SPLITS.items()
        }
        with _bar("encode", read["text_bytes"]) as bar:
            for first, lines, size in spool.chunks():
                here = codes[first : first + len(lines)]
                chosen = np.flatnonzero(here != DROPPED)
                texts = [lines[i] for i in chosen]
                ids = tokenizer.encode_batch(texts, self.config.workers)
                lengths = np.fromiter(map(len, ids), np.int32, len(ids))
                for code, writer in writers.items():
                    writer.add_some(
                        texts,
                        ids,
                        lengths,
                        here[chosen] == code,
                        self.config.min_length,
                        self.config.max_length,
                    )
                bar.update(size)
        for writer in writers.values():
            writer.close()
        self._describe(
            tokenizer, {name: writers[code].totals for name, code in SPLITS.items()}, read
        )

    def _describe(
        self, tokenizer: Tokenizer, totals: dict[str, _Totals], read: dict[str, Any]
    ) -> None:
        dropped = Counter(self.workspace.result("split")["dropped"])
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "seqvae": __version__,
            "settings": _settings(self.config),
            "sources": read["sources"],
            "counts": {"lines": read["seen"], "skipped": read["skipped"], "dropped": dict(dropped)},
            "splits": {name: asdict(split) for name, split in totals.items() if split.sequences},
            "tokenizer": {"sha256": tokenizer.sha256, "vocab_size": tokenizer.vocab_size},
            "labels": [],
            "pairs": False,
        }
        meta["fingerprint"] = fingerprint_of(meta)
        text = json.dumps(meta, indent=2, sort_keys=True, ensure_ascii=False)
        (self.workspace.results / META).write_text(text + "\n", encoding="utf-8")


class _ShardWriter:
    def __init__(self, folder: Path, split: str, shard_tokens: int) -> None:
        self.folder, self.split, self.shard_tokens = folder, split, shard_tokens
        self.totals = _Totals()
        self._parts: dict[str, list[IntArray]] = {
            "ids": [],
            "lengths": [],
            "bytes": [],
            "words": [],
        }
        self._tokens = 0

    def add_some(
        self,
        texts: list[str],
        ids: list[list[int]],
        lengths: IntArray,
        mine: np.ndarray[Any, Any],
        shortest: int,
        longest: int,
    ) -> None:
        self.totals.too_long += int((mine & (lengths > longest)).sum())
        self.totals.too_short += int((mine & (lengths < shortest)).sum())
        rows = np.flatnonzero(mine & (lengths <= longest) & (lengths >= shortest))
        if not len(rows):
            return
        count = int(lengths[rows].sum())
        values = np.fromiter(chain.from_iterable(ids[i] for i in rows), np.int32, count)
        sizes = np.fromiter((len(texts[i].encode()) for i in rows), np.int32, len(rows))
        words = np.fromiter((len(texts[i].split()) for i in rows), np.int32, len(rows))
        for name, part in (
            ("ids", values),
            ("lengths", lengths[rows]),
            ("bytes", sizes),
            ("words", words),
        ):
            self._parts[name].append(part)
        self.totals.sequences += len(rows)
        self.totals.tokens += count
        self.totals.bytes += int(sizes.sum())
        self.totals.words += int(words.sum())
        self._tokens += count
        if self._tokens >= self.shard_tokens:
            self.close()

    def close(self) -> None:
        if not self._tokens:
            return
        parts = {name: np.concatenate(arrays) for name, arrays in self._parts.items()}
        name = f"{self.split}-{len(self.totals.shards):05d}.arrow"
        data = encode_shard(
            {
                "ids": (parts["ids"], parts["lengths"]),
                "bytes": parts["bytes"],
                "words": parts["words"],
            }
        )
        (self.folder / name).write_bytes(data)
        self.totals.shards.append(
            {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        )
        for arrays in self._parts.values():
            arrays.clear()
        self._tokens = 0


def _bar(title: str, total: int) -> "tqdm[Any]":
    return tqdm(desc=title, total=total or None, unit="B", unit_scale=True, disable=None)
