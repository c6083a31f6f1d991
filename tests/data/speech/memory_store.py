"""Recordings in memory that look like a split of a corpus."""

from typing import Any

import numpy as np

from seqvae.data.speech.energy import energy_of
from seqvae.data.speech.loudness import gain_of, scaled
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.store import SpeechStore
from tests.tasks.speech.sounds import babble


class MemoryStore(SpeechStore):
    """Made-up speech of two voices in turn; frame t of recording i has t in bin 0 and i in bin 1.

    Args:
        seconds: of each recording.
    """

    def __init__(self, *seconds: float) -> None:
        super().__init__(None, [], MelSettings())
        hop, rate = self.settings.hop, self.settings.sample_rate
        sounds = [babble(s, 100.0 + 80 * (i % 2), seed=i) for i, s in enumerate(seconds)]
        sounds = [x[: len(x) // hop * hop] for x in sounds]
        self.sounds = [scaled(x, gain_of(energy_of(x, rate))) for x in sounds]
        self.__dict__["frames"] = np.array([len(x) // hop for x in sounds], np.int32)
        self.__dict__["speaker"] = np.arange(len(sounds), dtype=np.int32) % 2

    def __len__(self) -> int:
        return len(self.sounds)

    def _read(
        self, column: str, index: int, width: int, start: int, frames: int | None
    ) -> np.ndarray[Any, Any]:
        length = int(self.frames[index])
        stop = length if frames is None else min(length, start + frames)
        part = slice(start * width, stop * width)
        if column == "audio":
            return self.sounds[index][part] * np.float32(32768.0)
        if column == "pitch":
            return (100.0 + np.arange(length, dtype=np.float32))[part]
        mel = np.zeros((length, width), np.float32)
        mel[:, 0], mel[:, 1] = np.arange(length), index
        return mel.ravel()[part]
