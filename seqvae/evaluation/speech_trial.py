"""Sounds to be judged: recordings of a split as they are, converted, copied and reconstructed, as files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from seqvae.data.speech.audio import Sound, write_audio
from seqvae.evaluation.referees.job import Item
from seqvae.evaluation.speech_plan import Conversion

if TYPE_CHECKING:
    from seqvae.data.speech.corpus import SpeechCorpus, SpeechStore
    from seqvae.tasks.speech_model import SpeechModel

# Recordings that a voice is known by. Cosines to the mean of 12 and of 24 differ by less than 0.01.
ENROLLED = 12
Make = Callable[[Path], None]


@dataclass(frozen=True)
class Trial:
    """What referees are asked.

    Attributes:
        items: sounds, in the groups natural, unconverted, copy synthesis, reconstruction and conversion.
        voices: recordings of the training split by speaker.
    """

    items: list[Item]
    voices: dict[str, list[Path]]


class Stage:
    """Makes a model's sounds in a folder; those that are there stay.

    Args:
        model: of the run.
        corpus: with the split `split`.
        split: name of what is converted; voices are those of the training split.
        folder: where sounds go.
    """

    def __init__(
        self, model: "SpeechModel", corpus: "SpeechCorpus", split: str, folder: Path
    ) -> None:
        self.model, self.corpus, self.folder = model, corpus, folder
        self.store: SpeechStore = corpus.split(split)
        self.rate = corpus.settings.sample_rate

    def trial(
        self, conversions: Sequence[Conversion], tell: Callable[[int, int], None] | None = None
    ) -> Trial:
        """Everything that the conversions are judged by.

        Args:
            conversions: of the split.
            tell: told how many of how many conversions are made.
        """
        items: dict[
            Item, None
        ] = {}  # a recording is converted into several voices, and natural once
        for number, conversion in enumerate(conversions, 1):
            items |= dict.fromkeys(self._items(conversion))
            if tell is not None:
                tell(number, len(conversions))
        speakers = {c.source for c in conversions} | {c.target for c in conversions}
        order = sorted(items, key=lambda item: GROUPS.index(item.group))
        return Trial(order, self.voices(sorted(speakers)))

    def voices(self, speakers: Sequence[int]) -> dict[str, list[Path]]:
        """Up to 12 training recordings of each speaker, spread over what there is."""
        train = self.corpus.split("train")
        found = {}
        for speaker in speakers:
            own = np.flatnonzero(train.speaker == speaker)
            at = np.linspace(0, len(own) - 1, min(ENROLLED, len(own))).round().astype(int)
            paths = []
            for index in own[np.unique(at)].tolist():
                path = self.folder / "voices" / f"{speaker}-{index}.wav"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._write(path, train.audio(index))
                paths.append(path)
            if paths:
                found[self.corpus.speakers[speaker]] = paths
        return found

    def natural(self, index: int) -> Path:
        """A recording of the split."""
        return self._made(
            self.folder / "natural" / f"{index}.wav",
            lambda path: self._write(path, self.store.audio(index)),
        )

    def copied(self, index: int) -> Path:
        """A recording through the vocoder alone: frames and back."""

        @torch.no_grad()
        def make(path: Path) -> None:
            frames = torch.from_numpy(np.array(self.store.mel(index)))[None]
            self._write(path, self.model.vocoder(frames.to(self.model.device))[0].cpu().numpy())

        return self._made(self.folder / "copy" / f"{index}.wav", make)

    def reconstructed(self, index: int) -> Path:
        """A recording through the model in its own voice, by name where training knew it."""
        speaker = int(self.store.speaker[index])
        voice = self._known(speaker)
        return self._made(
            self.folder / "reconstruction" / f"{index}.wav",
            lambda p: self._write(p, self.model.reconstruct(self._sound(index), voice).samples),
        )

    def converted(self, index: int, target: str) -> Path:
        """A recording through the model in another voice."""
        number = self.corpus.speakers.index(target)
        return self._made(
            self.folder / "conversion" / f"{index}-to-{number}.wav",
            lambda path: self._write(path, self.model.convert(self._sound(index), target).samples),
        )

    def _items(self, conversion: Conversion) -> list[Item]:
        index = conversion.recording
        source, target = self._known(conversion.source), self._known(conversion.target)
        assert target is not None  # one converts into voices that training knew
        text = self.store.text(index) or None
        natural = str(self.natural(index))
        reference = None
        if conversion.reference is not None:
            reference = str(self.natural(conversion.reference))
        copied, again = str(self.copied(index)), str(self.reconstructed(index))
        return [
            Item(natural, "natural", text, source),
            Item(natural, "unconverted", text, target, source, reference),
            Item(copied, "copy synthesis", text, source, reference=natural),
            Item(again, "reconstruction", text, source, reference=natural),
            Item(str(self.converted(index, target)), "conversion", text, target, source, reference),
        ]

    def _known(self, speaker: int) -> str | None:
        """The speaker's name; None if training did not hear it, so that there is no voice to compare with."""
        names = self.corpus.train_speakers
        return names[speaker] if speaker < len(names) else None

    def _sound(self, index: int) -> Sound:
        return Sound(np.array(self.store.audio(index)), self.rate)

    def _write(self, path: Path, samples: np.ndarray) -> None:
        write_audio(path, samples, self.rate)

    @staticmethod
    def _made(path: Path, make: Make) -> Path:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        return path


GROUPS = ("natural", "unconverted", "copy synthesis", "reconstruction", "conversion")
