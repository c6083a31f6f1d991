"""A prepared corpus: a folder with dataset.json, the tokenizer and one set of shards a split."""

import hashlib
from pathlib import Path
from typing import Any

from seqvae.data import folder as folder_files
from seqvae.data.attributes import attributes_of
from seqvae.data.folder import FORMATS, META, again_with, check_files, fingerprint_of
from seqvae.data.storage import SequenceStore
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError

__all__ = ["FORMAT", "META", "TOKENIZER", "VERSION", "Corpus", "fingerprint_of", "read_meta"]

FORMAT, VERSION = FORMATS["text"]
TOKENIZER = "tokenizer.model"

_AGAIN = again_with("text")
_LARGEST_TOKENIZER = 256 << 20


class Corpus:
    """What `prepare` wrote. Open one with `Corpus.open`.

    Attributes:
        path: the folder.
        meta: the content of dataset.json.
        tokenizer: the tokenizer the shards were made with.
        labels: names of the label ids, empty without labels.
        attributes: what else is known of every sequence.
        has_pairs: whether every sequence has a target.
        fingerprint: digest of everything in the folder; a run keeps it to know its data again.
    """

    def __init__(self, path: Path, meta: dict[str, Any], tokenizer: Tokenizer) -> None:
        self.path = path
        self.meta = meta
        self.tokenizer = tokenizer
        self.labels: list[str] = meta["labels"]
        self.attributes = attributes_of(meta, str(path / META))
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
        check_files(path, shards, _AGAIN, verify)
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


def read_meta(folder: Path) -> dict[str, Any]:
    """Read and check dataset.json; see `seqvae.data.folder.read_meta`."""
    return folder_files.read_meta(folder, "text")
