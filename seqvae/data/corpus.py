"""A prepared corpus: a folder with dataset.json, the tokenizer and one set of shards a split."""

import hashlib
import json
from pathlib import Path
from typing import Any

from seqvae.data.storage import SequenceStore, file_sha256
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError

FORMAT = "seqvae-text-corpus"
VERSION = 1
META = "dataset.json"
TOKENIZER = "tokenizer.model"

_AGAIN = "prepare the corpus again with `seqvae prepare text`"
# Below this size all shards are hashed when a corpus is opened (a fraction of a second).
_ALWAYS_VERIFY = 128 << 20
_LARGEST_META = 64 << 20
_LARGEST_TOKENIZER = 256 << 20


class Corpus:
    """What `prepare` wrote. Open one with `Corpus.open`.

    Attributes:
        path: the folder.
        meta: the content of dataset.json.
        tokenizer: the tokenizer the shards were made with.
        labels: names of the label ids, empty without labels.
        has_pairs: whether every sequence has a target.
        fingerprint: digest of everything in the folder; a run keeps it to know its data again.
    """

    def __init__(self, path: Path, meta: dict[str, Any], tokenizer: Tokenizer) -> None:
        self.path = path
        self.meta = meta
        self.tokenizer = tokenizer
        self.labels: list[str] = meta["labels"]
        self.has_pairs: bool = meta["pairs"]
        self.fingerprint: str = meta["fingerprint"]
        self._stores: dict[str, SequenceStore] = {}

    @classmethod
    def open(cls, path: str | Path, verify: bool | None = None) -> "Corpus":
        """Open a prepared corpus and check that it is whole.

        Args:
            path: the folder that `prepare` wrote.
            verify: hash every shard; by default only when that takes no noticeable time, else sizes only.

        Raises:
            UserError: no corpus there, another format version, or a file that is missing or changed.
        """
        path = Path(path)
        meta = read_meta(path)
        tokenizer_path = path / TOKENIZER
        if not tokenizer_path.is_file() or tokenizer_path.stat().st_size > _LARGEST_TOKENIZER:
            raise UserError(f"{tokenizer_path}: missing or far too large; {_AGAIN}")
        model = tokenizer_path.read_bytes()
        if hashlib.sha256(model).hexdigest() != meta["tokenizer"]["sha256"]:
            raise UserError(f"{tokenizer_path}: changed since the corpus was prepared; {_AGAIN}")
        shards = [shard for split in meta["splits"].values() for shard in split["shards"]]
        if verify is None:
            verify = sum(shard["bytes"] for shard in shards) <= _ALWAYS_VERIFY
        for shard in shards:
            _check_shard(path / shard["name"], shard, verify)
        return cls(path, meta, Tokenizer(model))

    def split(self, name: str) -> SequenceStore:
        """Return the sequences of a split: "train", "valid" or "test".

        Raises:
            UserError: the corpus has no such split.
        """
        splits = self.meta["splits"]
        if name not in splits:
            raise UserError(f"{self.path}: no split {name!r}; it has {', '.join(splits)}")
        if name not in self._stores:
            shards = [self.path / shard["name"] for shard in splits[name]["shards"]]
            self._stores[name] = SequenceStore(shards)
        return self._stores[name]


def fingerprint_of(meta: dict[str, Any]) -> str:
    """Digest of dataset.json's content but for the fingerprint itself."""
    content = {key: value for key, value in meta.items() if key != "fingerprint"}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def read_meta(folder: Path) -> dict[str, Any]:
    """Read and check dataset.json.

    Raises:
        UserError: missing, of another format version, or edited.
    """
    path = folder / META
    if not path.is_file():
        hint = " (unfinished: run the same `prepare` again)" if _is_unfinished(folder) else ""
        raise UserError(f"{folder}: no prepared corpus here, {META} is missing{hint}")
    if path.stat().st_size > _LARGEST_META:
        raise UserError(f"{path}: far too large; {_AGAIN}")
    try:
        meta = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); {_AGAIN}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise UserError(f"{path}: not a seqvae text corpus; {_AGAIN}")
    if meta.get("version") != VERSION:
        raise UserError(
            f"{path}: corpus format version {meta.get('version')}, this seqvae reads {VERSION}; {_AGAIN}"
        )
    if fingerprint_of(meta) != meta.get("fingerprint"):
        raise UserError(f"{path}: edited since the corpus was prepared; {_AGAIN}")
    return meta


def _is_unfinished(folder: Path) -> bool:
    return folder.with_name(folder.name + ".partial").is_dir()


def _check_shard(path: Path, shard: dict[str, Any], verify: bool) -> None:
    if Path(shard["name"]).name != shard["name"]:
        raise UserError(f"{path}: a shard must lie in the corpus folder itself; {_AGAIN}")
    if not path.is_file():
        raise UserError(f"{path}: missing; {_AGAIN}")
    size = path.stat().st_size
    if size != shard["bytes"]:
        raise UserError(f"{path}: {size} bytes instead of {shard['bytes']}; {_AGAIN}")
    if verify and file_sha256(path) != shard["sha256"]:
        raise UserError(f"{path}: content differs from its hash in {META}; {_AGAIN}")
