"""A prepared speech corpus: a folder with dataset.json, shards of sound, and an index for each split."""

from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.folder import again_with, check_files, read_meta
from seqvae.data.speech.energy import Floats
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.store import SpeechStore
from seqvae.errors import UserError

__all__ = ["SPLITS", "SpeechCorpus", "SpeechStore"]

SPLITS = ("train", "valid", "test")

_AGAIN = again_with("speech")


class SpeechCorpus:
    """What `seqvae prepare speech` wrote. Open one with `SpeechCorpus.open`.

    Attributes:
        path: the folder.
        meta: the content of dataset.json.
        speakers: names of all speakers; a recording's `speaker` is a number of this list.
        train_speakers: those of the training split, the first of `speakers`: behind them stand the
            voices that are held out.
        settings: of the log-mel frames.
        mean: of every mel bin over the frames of the training split, float32 [mels].
        std: its standard deviation, float32 [mels].
        fingerprint: digest of everything in the folder; a run keeps it to know its data again.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta
        self.speakers: list[str] = meta["speakers"]
        self.train_speakers: list[str] = self.speakers[: meta["train_speakers"]]
        self.settings = MelSettings(**meta["mel"])
        self.mean: Floats = np.array(meta["statistics"]["mean"], np.float32)
        self.std: Floats = np.array(meta["statistics"]["std"], np.float32)
        self.fingerprint: str = meta["fingerprint"]
        self._stores: dict[str, SpeechStore] = {}

    @classmethod
    def open(cls, path: str | Path, verify: bool | None = None) -> "SpeechCorpus":
        """Open a prepared corpus and check that it is whole.

        Args:
            path: the folder that `prepare` wrote.
            verify: hash every file; by default only when that takes no noticeable time, else sizes only.

        Raises:
            UserError: no corpus there, one of text, another format version, or a file that is missing
                or changed.
        """
        path = Path(path)
        meta = read_meta(path, "speech")
        indices = [split["index"] for split in meta["splits"].values()]
        check_files(path, [*meta["shards"], *indices], _AGAIN, verify)
        return cls(path, meta)

    def split(self, name: str) -> SpeechStore:
        """The recordings of "train", "valid" or "test"; none where nothing was held out.

        Raises:
            UserError: no such split, or a damaged file.
        """
        if name not in SPLITS:
            raise UserError(f"{self.path}: no split {name!r}; it has {', '.join(SPLITS)}")
        if name not in self._stores:
            entry = self.meta["splits"].get(name)
            index = None if entry is None else self.path / entry["index"]["name"]
            shards = [self.path / shard["name"] for shard in self.meta["shards"]]
            self._stores[name] = SpeechStore(index, shards, self.settings)
        return self._stores[name]
