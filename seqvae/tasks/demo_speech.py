"""The demonstration of speech: from four synthetic voices to conversions and a report, in minutes on two cores."""

import dataclasses
import json
import time
from pathlib import Path

from tqdm import tqdm

from seqvae.config import Experiment, speech_preset
from seqvae.data.speech.audio import write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from seqvae.evaluation.report import write_report
from seqvae.evaluation.speech import evaluate_speech
from seqvae.tasks.demo_sentences import sentences as made_up
from seqvae.tasks.flite import VOICES, find_flite, record
from seqvae.tasks.speech_model import SpeechModel
from seqvae.training import load_speech, train

# What is converted for the referees, of each of the 12 pairs of voices.
JUDGED = 1
# Sentences of which nobody hears any in training, for validation and for the evaluation each.
HELD_OUT = 6


def demo_speech(
    folder: Path = Path("demo-speech"),
    sentences: int = 120,
    steps: int = 1200,
    referees: Path | None = None,
) -> None:
    """Record, prepare, train, convert, evaluate and report on four synthetic voices.

    The voices are Debian's flite (kal16, awb, rms, slt), installed if that is possible; the sentences are made from a
    small grammar. Run again, it goes on where it stopped.

    Args:
        folder: where recordings, corpus, run, conversions and report go.
        sentences: each voice says them all; a part of them is held out for the evaluation.
        steps: training steps; more give better conversions.
        referees: a Python with the referees (`make eval-env`); by default a checkout's own, else those that are
            installed here.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    corpus = _prepare(folder, sentences)
    run = folder / "run"
    experiment = _experiment(corpus, run, steps)
    _say(f"training {run} for {steps:,} steps")
    train(experiment)
    model = load_speech(run)
    _say("converting recordings never heard, from every voice into every other")
    report = evaluate_speech(
        model, corpus, "test", limit=JUDGED, folder=run / "evaluation-test", referees=referees
    )
    print(report)
    (run / "evaluation-test.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    source = _show(model, corpus, folder / "converted")
    page = write_report(run)
    minutes = (time.monotonic() - began) / 60
    _say(f"done in {minutes:.1f} minutes. Listen: {page}")
    print(
        f"Try:  seqvae convert {run} {source} --voice slt\n"
        f"      seqvae convert {run} a-recording-of-your-own.wav --voice rms\n"
        f"      seqvae train {corpus.path} {folder / 'longer'} --steps {10 * steps}"
    )


def _prepare(folder: Path, count: int) -> SpeechCorpus:
    flite = find_flite()
    _say(f"{', '.join(VOICES)} say {count} sentences each")
    recordings = folder / "recordings"
    with tqdm(total=count * len(VOICES), unit="recording") as bar:
        manifest = record(
            recordings, made_up(count), program=flite, progress=lambda _: bar.update()
        )
    return prepare_speech(
        PrepareSpeech(inputs=(str(manifest),), out=folder / "corpus", valid=HELD_OUT, test=HELD_OUT)
    )


def _experiment(corpus: SpeechCorpus, run: Path, steps: int) -> Experiment:
    base = speech_preset("tiny")
    training = dataclasses.replace(base.training, steps=steps)
    return dataclasses.replace(base, data=str(corpus.path), run=str(run), training=training)


def _show(model: SpeechModel, corpus: SpeechCorpus, folder: Path) -> Path:
    """Convert one recording into every other voice; the recording itself is the path returned."""
    store = corpus.split("test")
    rate = model.settings.sample_rate
    own = corpus.speakers[int(store.speaker[0])]
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{own}.wav"
    write_audio(source, store.audio(0), rate)
    _say(f"“{store.text(0)}”, said by {own}: {source}")
    for name in corpus.train_speakers:
        if name != own:
            path = folder / f"{own}-to-{name}.wav"
            write_audio(path, model.convert(source, name).samples, rate)
            print(f"  in the voice of {name}: {path}")
    return source


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
