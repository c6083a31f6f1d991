"""What a speech model does with recordings, to listen to and to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.evaluation.report.html import Html, element, figure, join, paragraphs, section, text
from seqvae.evaluation.report.listening import player, spectrograms
from seqvae.evaluation.speech_plan import Conversion, plan

if TYPE_CHECKING:
    from seqvae.data.speech.corpus import SpeechCorpus, SpeechStore
    from seqvae.tasks.speech_model import SpeechModel

Floats = np.ndarray[Any, np.dtype[np.float32]]
# A page holds the sounds; this much of each is enough to hear a voice.
LONGEST = 8.0


@dataclass(frozen=True)
class Heard:
    """A sound of an example.

    Attributes:
        label: what it is.
        samples: [N].
        frames: its log-mel frames, [T, mels].
    """

    label: str
    samples: Floats
    frames: Floats


@dataclass(frozen=True)
class Example:
    """One recording and what became of it."""

    title: str
    text: str
    heard: Sequence[Heard]


def gather(model: "SpeechModel", corpus: "SpeechCorpus", split: str, count: int) -> list[Example]:
    """Conversions between up to `count` pairs of speakers, one recording each; without pairs, reconstructions.

    Args:
        model: a trained one.
        corpus: what it was trained on.
        split: where the recordings are from.
        count: most examples.
    """
    store = corpus.split(split)
    chosen = plan(store, range(len(corpus.train_speakers)), limit=1, pairs=count)
    if chosen:
        return [_converted(model, corpus, store, conversion) for conversion in chosen]
    return [_reconstructed(model, corpus, store, index) for index in range(min(count, len(store)))]


def examples_section(examples: Sequence[Example], settings: MelSettings) -> Html:
    """The examples with players and spectrograms."""
    drawn = []
    for number, example in enumerate(examples, 1):
        players = [
            element(
                "li",
                element("span", heard.label),
                player(heard.samples, settings.sample_rate, f"{example.title}: {heard.label}"),
            )
            for heard in example.heard
        ]
        words = f"Spectrograms of {', '.join(heard.label for heard in example.heard)}."
        drawing = spectrograms(
            [(heard.label, heard.frames) for heard in example.heard], settings, f"s{number}", words
        )
        said = text(f"“{example.text}”") if example.text else "Nobody wrote down what is said."
        drawn.append(
            figure(example.title, drawing, said, element("ul", *players, class_="players"))
        )
    return section(
        "listen",
        "Listen",
        paragraphs(
            "Recordings that the model was not trained on. The converted one should say what the source says, "
            "in the target's voice."
        ),
        element("div", join(drawn), class_="figures"),
    )


def _converted(
    model: "SpeechModel", corpus: "SpeechCorpus", store: "SpeechStore", conversion: Conversion
) -> Example:
    names, index = corpus.speakers, conversion.recording
    source, target = names[conversion.source], names[conversion.target]
    sound = _cut(model, store, index)
    heard = [
        _heard(model, f"source, {source}", sound.samples),
        _heard(model, f"converted to {target}", model.convert(sound, target).samples),
    ]
    if conversion.reference is not None:
        own = _cut(model, store, conversion.reference)
        heard.append(_heard(model, f"{target}'s own recording", own.samples))
    return Example(f"{source} → {target}", store.text(index), heard)


def _reconstructed(
    model: "SpeechModel", corpus: "SpeechCorpus", store: "SpeechStore", index: int
) -> Example:
    sound = _cut(model, store, index)
    heard = [
        _heard(model, "recording", sound.samples),
        _heard(model, "reconstructed", model.reconstruct(sound).samples),
    ]
    return Example(corpus.speakers[int(store.speaker[index])], store.text(index), heard)


def _cut(model: "SpeechModel", store: "SpeechStore", index: int) -> Sound:
    rate = model.settings.sample_rate
    return Sound(np.array(store.audio(index)[: int(LONGEST * rate)]), rate)


def _heard(model: "SpeechModel", label: str, samples: Floats) -> Heard:
    with torch.no_grad():
        frames = model.mel(torch.from_numpy(samples)[None].to(model.device))[0].cpu().numpy()
    return Heard(label, samples, frames)
