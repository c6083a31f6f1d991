"""A prepared corpus of frames: a folder with dataset.json and shards for each split."""

from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.folder import again_with, check_files, read_meta
from seqvae.data.frames.sequences import Floats
from seqvae.data.frames.store import FramesStore
from seqvae.errors import UserError

SPLITS = ("train", "valid", "test")


class FramesCorpus:
    """What `seqvae prepare frames` wrote. Open one with `FramesCorpus.open`.

    Attributes:
        path: the folder.
        meta: the content of dataset.json.
        features: numbers F of a frame.
        labels: names of all labels; a sequence's label is a number of this list.
        mean: of each feature over the frames of the training split, float32 [F].
        std: its standard deviation, float32 [F]; of features that hardly vary, that of all together.
        least: smallest number of all splits.
        greatest: greatest number of all splits.
        longest: most frames of a sequence.
        fingerprint: digest of everything in the folder; a run keeps it to know its data again.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path, self.meta = path, meta
        self.features: int = meta["features"]
        self.labels: list[str] = meta["labels"]
        statistics = meta["statistics"]
        self.mean: Floats = np.array(statistics["mean"], np.float32)
        self.std: Floats = np.array(statistics["std"], np.float32)
        self.least: float = statistics["least"]
        self.greatest: float = statistics["greatest"]
        self.longest: int = meta["longest"]
        self.fingerprint: str = meta["fingerprint"]
        self._stores: dict[str, FramesStore] = {}

    @classmethod
    def open(cls, path: str | Path, verify: bool | None = None) -> "FramesCorpus":
        """Open a prepared corpus and check that it is whole.

        Args:
            path: the folder that `prepare` wrote.
            verify: hash every file; by default only when that takes no noticeable time, else sizes only.

        Raises:
            UserError: no corpus there, one of text or speech, another format version, or a file that is
                missing or changed.
        """
        path = Path(path)
        meta = read_meta(path, "frames")
        shards = [shard for split in meta["splits"].values() for shard in split["shards"]]
        check_files(path, shards, again_with("frames"), verify)
        return cls(path, meta)

    def split(self, name: str) -> FramesStore:
        """The sequences of "train", "valid" or "test".

        Raises:
            UserError: no such split, or a damaged file.
        """
        if name not in SPLITS:
            raise UserError(f"{self.path}: no split {name!r}; it has {', '.join(SPLITS)}")
        if name not in self._stores:
            shards = [self.path / shard["name"] for shard in self.meta["splits"][name]["shards"]]
            self._stores[name] = FramesStore(shards, self.features)
        return self._stores[name]
