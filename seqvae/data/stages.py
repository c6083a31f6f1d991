"""The stages of preparing text: read and spool, split, train the tokenizer, encode. Each can be resumed after."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from tqdm import tqdm

import seqvae
from seqvae.data.corpus import FORMAT, META, TOKENIZER, VERSION, fingerprint_of
from seqvae.data.known import KnownColumns, Renumbered
from seqvae.data.lines import SkipReport
from seqvae.data.normalise import Normaliser
from seqvae.data.readers import read_records
from seqvae.data.records import Columns, Records
from seqvae.data.settings import PrepareText, settings_of
from seqvae.data.shards import Encoded, ShardWriter, SplitTotals
from seqvae.data.sources import Source
from seqvae.data.split import SPLITS, TRAIN, SplitRules, assign_splits, mix
from seqvae.data.spool import ByteArray, Spool, SpoolWriter, hash_texts
from seqvae.data.text import Tokenizer, train_tokenizer
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError

SKIPPED = "skipped.jsonl"

# Unigram training takes about twenty times its sample in memory.
_SAMPLE_BYTES = 24 << 20
_CODES = "codes"
_NAMES = {code: name for name, code in SPLITS.items()}


class Stages:
    """One run of `prepare`.

    Args:
        config: what to do.
        workspace: where; held by the caller.
        sources: each with the split it was given for.
        model: a tokenizer to use, or None to train one.
        say: gets notices.
    """

    def __init__(
        self,
        config: PrepareText,
        workspace: Workspace,
        sources: list[tuple[int, Source]],
        model: bytes | None,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._sources = sources
        self._model = model
        self._say = say
        self._columns = Columns(
            config.columns,
            config.label,
            config.explode,
            config.header,
            config.field,
            config.attributes,
        )
        self._known = KnownColumns(config.label, config.attributes)

    def run(self) -> None:
        """Run what is not finished yet."""
        stages = {
            "read": self._read,
            "split": self._split,
            "tokenizer": self._train,
            "encode": self._encode,
        }
        for name, stage in stages.items():
            if not self._workspace.is_finished(name):
                self._workspace.finish(name, stage())

    def _read(self) -> dict[str, Any]:
        config = self._config
        normalise = (
            Normaliser(config.normalisation, config.lowercase)
            if self._model is None
            else Normaliser.of_model(self._model)
        )
        report = SkipReport()
        digests, ranges = [], []
        with (
            SpoolWriter(
                self._workspace.path,
                pairs=self._columns.pairs,
                labels=bool(config.label),
                groups=config.explode,
                attributes=len(config.attributes),
            ) as spool,
            _bar("read", sum(source.size for _, source in self._sources)) as bar,
        ):
            for code, source in self._sources:
                digest = hashlib.sha256()
                for records in read_records(
                    source, self._columns, report, digest, bar.update, config.max_line_bytes
                ):
                    self._spool(records, normalise, spool, report)
                digests.append(
                    {"name": source.name, "for": _NAMES[code], "sha256": digest.hexdigest()}
                )
                ranges.append([code, spool.records])
        skipped = +report.counts
        for reason, count in sorted(skipped.items()):
            self._say(f"{count:,} skipped: {reason}")
        if not spool.records:
            raise UserError(
                f"no usable line in the input ({sum(skipped.values()):,} skipped: {_counted(skipped)})"
            )
        return {
            "records": spool.records,
            "text_bytes": spool.text_bytes,
            "ranges": ranges,
            "sources": digests,
            **self._known.names(),
            "skipped": skipped,
            "report": report.entries,
        }

    def _spool(
        self, records: Records, normalise: Normaliser, spool: SpoolWriter, report: SkipReport
    ) -> None:
        texts = [normalise(text) for text in records.texts]
        targets = None if records.targets is None else [normalise(t) for t in records.targets]
        labels, attributes = self._known.numbers(records)
        groups = None if records.groups is None else [g.encode() for g in records.groups]
        keep = [bool(t.strip()) for t in texts]
        if targets is not None:
            keep = [k and bool(t.strip()) for k, t in zip(keep, targets, strict=True)]
        if not all(keep):
            report.counts["empty"] += keep.count(False)
            rows = [i for i, kept in enumerate(keep) if kept]
            texts = [texts[i] for i in rows]
            targets = None if targets is None else [targets[i] for i in rows]
            labels = None if labels is None else labels[rows]
            attributes = None if attributes is None else attributes[rows]
            groups = None if groups is None else [groups[i] for i in rows]
        if texts:
            hashes = None if groups is None else hash_texts(groups)
            spool.append(texts, targets, labels, hashes, attributes)

    def _open(self) -> tuple[dict[str, Any], Spool]:
        spool = Spool(
            self._workspace.path, pairs=self._columns.pairs, attributes=self._known.are_numbers
        )
        return self._workspace.result("read"), spool

    def _codes(self) -> ByteArray:
        return np.fromfile(self._workspace.path / _CODES, np.uint8)

    def _split(self) -> dict[str, Any]:
        config = self._config
        read, spool = self._open()
        roles: ByteArray = np.zeros(len(spool), np.uint8)
        start = 0
        for code, stop in read["ranges"]:
            roles[start:stop] = code
            start = stop
        rules = SplitRules(
            valid=0.0 if config.valid_inputs else config.valid,
            test=0.0 if config.test_inputs else config.test,
            most=config.most_held_out,
            deduplicate=config.deduplicate,
            seed=config.seed,
        )
        dropped = assign_splits(spool, roles, rules)
        known = self._known.settle(
            read,
            spool,
            roles,
            dropped,
            lambda record: next(
                source["name"]
                for source, (_, stop) in zip(read["sources"], read["ranges"], strict=True)
                if record < stop
            ),
            skip_unseen=config.unseen_labels == "skip",
        )
        self._expect_splits(roles)
        for reason, count in sorted((+dropped).items()):
            self._say(f"{count:,} dropped: {reason}")
        (self._workspace.path / _CODES).write_bytes(roles.tobytes())
        return {"dropped": +dropped, **known}

    def _expect_splits(self, roles: ByteArray) -> None:
        config = self._config
        counts = {name: int(np.count_nonzero(roles == code)) for name, code in SPLITS.items()}
        wanted = {
            "train": True,
            "valid": bool(config.valid or config.valid_inputs),
            "test": bool(config.test or config.test_inputs),
        }
        empty = [name for name, count in counts.items() if wanted[name] and not count]
        if empty:
            raise UserError(
                f"too little text: {sum(counts.values()):,} usable different lines leave nothing for {' and '.join(empty)}; "
                "give more text, or --valid 0 --test 0 to keep all of it for training"
            )

    def _train(self) -> dict[str, Any]:
        config = self._config
        model = self._model
        if model is None:
            model = train_tokenizer(
                self._sample(),
                vocab_size=config.vocab_size,
                model_type=config.model_type,
                byte_fallback=config.byte_fallback,
                character_coverage=config.character_coverage,
                normaliser=Normaliser(config.normalisation, config.lowercase),
            )
            size = Tokenizer(model).vocab_size
            if size < config.vocab_size:
                self._say(
                    f"the text has pieces for a vocabulary of {size:,}, not {config.vocab_size:,}"
                )
        self._workspace.results.mkdir(exist_ok=True)
        (self._workspace.results / TOKENIZER).write_bytes(model)
        return {}

    def _sample(self) -> Iterator[str]:
        read, spool = self._open()
        codes = self._codes()
        training = int(np.count_nonzero(codes == TRAIN))
        mean_bytes = read["text_bytes"] / len(spool)
        most = min(self._config.tokenizer_sample, _SAMPLE_BYTES / mean_bytes)
        threshold = np.uint64(min(int(most / training * 2.0**64), (1 << 64) - 1))
        for first, lines, _ in spool.chunks():
            records = slice(first, first + len(lines) // spool.sides_per_record)
            # Another seed than the split's: a held-out line and a sampled one are independent choices.
            wanted = mix(np.asarray(spool.hashes[records]), self._config.seed + 1) <= threshold
            for record in np.flatnonzero(wanted & (codes[records] == TRAIN)):
                start = int(record) * spool.sides_per_record
                for line in lines[start : start + spool.sides_per_record]:
                    yield line.decode()

    def _encode(self) -> dict[str, Any]:
        read, spool = self._open()
        codes = self._codes()
        split = self._workspace.result("split")
        results = self._workspace.results
        for stale in results.glob("*.arrow"):
            stale.unlink()
        tokenizer = Tokenizer((results / TOKENIZER).read_bytes())
        writers = {
            name: ShardWriter(
                results,
                name,
                shard_size=self._config.shard_size,
                shortest=self._config.min_length,
                longest=self._config.max_length,
            )
            for name in SPLITS
        }
        known = Renumbered(spool, read, split)
        with _bar("encode", read["text_bytes"]) as bar:
            for first, lines, size in spool.chunks():
                here = codes[first : first + len(lines) // spool.sides_per_record]
                for name, code in SPLITS.items():
                    rows = np.flatnonzero(here == code)
                    if len(rows):
                        encoded = self._tokenise(tokenizer, lines, rows, spool.sides_per_record)
                        labels, attributes = known.of(rows + first)
                        writers[name].add(replace(encoded, labels=labels, attributes=attributes))
                bar.update(size)
        for writer in writers.values():
            writer.flush()
        self._describe(tokenizer, {name: writer.totals for name, writer in writers.items()})
        return {}

    def _tokenise(
        self,
        tokenizer: Tokenizer,
        lines: list[bytes],
        rows: np.ndarray[Any, Any],
        sides: int,
    ) -> Encoded:
        texts = [lines[i * sides] for i in rows]
        targets = [lines[i * sides + 1] for i in rows] if sides == 2 else None
        threads = self._config.workers
        return Encoded(
            ids=tokenizer.encode_batch(texts, threads),
            bytes=np.fromiter(map(len, texts), np.int32, len(texts)),
            words=np.fromiter((len(text.split()) for text in texts), np.int32, len(texts)),
            targets=None if targets is None else tokenizer.encode_batch(targets, threads),
        )

    def _describe(self, tokenizer: Tokenizer, totals: dict[str, SplitTotals]) -> None:
        config = self._config
        empty = [
            name
            for name, total in totals.items()
            if not total.sequences and total.too_long + total.too_short
        ]
        if empty:
            raise UserError(
                f"every line of {', '.join(empty)} is shorter than {config.min_length} or longer than {config.max_length} tokens; "
                "change --max-length"
            )
        read, split = self._workspace.result("read"), self._workspace.result("split")
        skipped = dict(read["skipped"])
        unread = sum(skipped.values())
        for reason in ("too_long", "too_short"):
            count = sum(getattr(total, reason) for total in totals.values())
            if count:
                skipped[reason.replace("_", " ")] = count
                self._say(f"{count:,} skipped: {reason.replace('_', ' ')}")
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "seqvae": seqvae.__version__,
            "settings": settings_of(config, self._model),
            "sources": read["sources"],
            "counts": {
                "read": read["records"] + unread,
                "skipped": skipped,
                "dropped": split["dropped"],
                "kept": sum(total.sequences for total in totals.values()),
            },
            "splits": {name: asdict(total) for name, total in totals.items() if total.sequences},
            "tokenizer": {"sha256": tokenizer.sha256, "vocab_size": tokenizer.vocab_size},
            "labels": split["labels"],
            "attributes": split["attributes"],
            "pairs": self._columns.pairs,
        }
        meta["fingerprint"] = fingerprint_of(meta)
        results = self._workspace.results
        report = "".join(json.dumps(entry) + "\n" for entry in read["report"])
        (results / SKIPPED).write_text(report, encoding="utf-8")
        text = json.dumps(meta, indent=2, sort_keys=True, ensure_ascii=False)
        (results / META).write_text(text + "\n", encoding="utf-8")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))


def _bar(title: str, total: int) -> "tqdm[Any]":
    return tqdm(desc=title, total=total or None, unit="B", unit_scale=True, disable=None)
