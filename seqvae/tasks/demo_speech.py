"""The demonstration of speech: from four synthetic voices to conversions and a report, in minutes on two cores."""

import dataclasses
import json
import time
from pathlib import Path

from tqdm import tqdm

from seqvae.config import Experiment
from seqvae.data.speech.audio import write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from seqvae.evaluation.report import write_report
from seqvae.evaluation.speech import evaluate_speech
from seqvae.preset_speech import speech_preset
from seqvae.tasks.demo_sentences import sentences as made_up
from seqvae.tasks.flite import VOICES, find_flite, record
from seqvae.tasks.speech_model import SpeechModel
from seqvae.training import load_speech, train
from seqvae.training.load import VOCODER
from seqvae.training.vocoder import train_vocoder
from seqvae.training.vocoder_config import VocoderExperiment, VocoderTraining
from seqvae.vocoders import LinearHead

# What is converted for the referees, of each of the 12 pairs of voices.
JUDGED = 1
# Sentences of which nobody hears any in training, for validation and for the evaluation each.
HELD_OUT = 6
# Voices that one recording is converted into to listen to at once; the report has all pairs.
SHOWN = 3


def demo_speech(
    folder: Path = Path("demo-speech"),
    sentences: int = 120,
    steps: int = 1200,
    vocoder_steps: int = 500,
    voices: Path | None = None,
    referees: Path | None = None,
) -> None:
    """Record, prepare, train, convert, evaluate and report on four synthetic voices.

    The voices are Debian's flite (kal16, awb, rms, slt), installed if that is possible; the sentences are made from a
    small grammar. Run again, it goes on where it stopped.

    Args:
        folder: where recordings, corpus, run, conversions and report go.
        sentences: each voice says them all; a part of them is held out for the evaluation.
        steps: training steps of the model; more give better conversions.
        vocoder_steps: training steps of what turns frames into sound.
        voices: a folder with a folder of recordings of each speaker, to learn from instead of flite.
        referees: a Python with the referees (`make eval-env`); by default a checkout's own, else those that are
            installed here.

    Raises:
        UserError: there is no flite and it cannot be installed, or a step fails as the verb of its name would.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    corpus = prepare_speech(_preparation(folder, sentences, voices))
    run = folder / "run"
    experiment = _experiment(corpus, run, steps)
    _say(f"training {run} for {steps:,} steps")
    train(experiment)
    _say(f"training its vocoder for {vocoder_steps:,} steps")
    train_vocoder(_vocoder(corpus, run / VOCODER, vocoder_steps))
    model = load_speech(run)
    _say("converting recordings never heard, from every voice into every other")
    report = evaluate_speech(
        model, corpus, "test", limit=JUDGED, folder=run / "evaluation-test", referees=referees
    )
    print(report)
    (run / "evaluation-test.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    source, shown = _show(model, corpus, folder / "converted")
    page = write_report(run)
    minutes = (time.monotonic() - began) / 60
    _say(f"done in {minutes:.1f} minutes. Listen: {page}")
    print(
        f"Try:  seqvae convert {run} a-recording-of-your-own.wav --voice {shown[-1]}\n"
        f"      seqvae interpolate {run} {source} {shown[0]} {shown[-1]}\n"
        f"      seqvae train {corpus.path} {folder / 'longer'} --steps {10 * steps}"
    )


def _preparation(folder: Path, sentences: int, voices: Path | None) -> PrepareSpeech:
    """What the corpus is made of, recorded first where nobody has."""
    if voices is not None:
        return PrepareSpeech(inputs=(str(voices),), out=folder / "corpus")
    said = _record(folder / "recordings", sentences)
    return PrepareSpeech(inputs=(str(said),), out=folder / "corpus", valid=HELD_OUT, test=HELD_OUT)


def _record(folder: Path, count: int) -> Path:
    flite = find_flite()
    _say(f"{', '.join(VOICES)} say {count} sentences each")
    with tqdm(total=count * len(VOICES), unit="recording") as bar:
        return record(folder, made_up(count), program=flite, progress=lambda _: bar.update())


def _experiment(corpus: SpeechCorpus, run: Path, steps: int) -> Experiment:
    base = speech_preset("tiny")
    training = dataclasses.replace(base.training, steps=steps)
    return dataclasses.replace(base, data=str(corpus.path), run=str(run), training=training)


def _vocoder(corpus: SpeechCorpus, out: Path, steps: int) -> VocoderExperiment:
    """Learned magnitudes: a minute of training is heard, where a vocoder without Griffin-Lim wants half an hour."""
    training = VocoderTraining(steps=steps)
    return VocoderExperiment(
        data=str(corpus.path), out=str(out), vocoder=LinearHead(), training=training
    )


def _show(model: SpeechModel, corpus: SpeechCorpus, folder: Path) -> tuple[Path, list[str]]:
    """Convert one recording into other voices; returns the recording and who they are."""
    store = corpus.split("test")
    rate = model.settings.sample_rate
    own = corpus.speakers[int(store.speaker[0])]
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{own}.wav"
    write_audio(source, store.audio(0), rate)
    _say(f"“{store.text(0) or store.name(0)}”, said by {own}: {source}")
    others = [name for name in corpus.train_speakers if name != own][:SHOWN] or [own]
    for name in others:
        path = folder / f"{own}-to-{name}.wav"
        write_audio(path, model.convert(source, name).samples, rate)
        print(f"  in the voice of {name}: {path}")
    return source, others


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
