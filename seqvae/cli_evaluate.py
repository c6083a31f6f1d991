"""`seqvae evaluate`, for runs of text, of speech and of frames."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import tyro

from seqvae.training import kind_of
from seqvae.training.load import Expected


def evaluate(argv: list[str]) -> None:
    """`seqvae evaluate`, its arguments parsed from `argv`."""
    # Options may stand before the run, so it is known by what is in it.
    run = next((word for word in argv if (Path(word) / "config.json").is_file()), None)
    kind = "text" if run is None else kind_of(run)
    commands: dict[str, Callable[..., None]] = {
        "text": _text,
        "speech": _speech,
        "frames": _frames,
    }
    tyro.cli(commands[kind], args=argv, prog="seqvae evaluate")


def _text(
    run: tyro.conf.Positional[Path],
    data: Path | None = None,
    split: str = "test",
    samples: int = 500,
    limit: int | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "cpu",
    seed: int = 0,
    prior: Expected | None = None,
    widen: float | None = None,
    json_only: bool = False,
) -> None:
    """Measure a run: likelihood (importance-weighted), information in z, reconstruction.

    Of a speech run: costs and conversions, see `seqvae evaluate RUN --help` with such a run.

    Args:
        run: a trained run.
        data: corpus to measure on; by default the one the run was trained on.
        split: train, valid or test.
        samples: K of the importance-weighted likelihood.
        limit: use only this many sequences.
        which: best or last weights.
        device: where to compute.
        seed: fixes all samples.
        prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior` left
            it, and the likelihood under the standard one beside it.
        widen: nats added to the log-variances that samples of the likelihood are drawn with; by default 0, and
            of objectives that leave posteriors too narrow for it (mmd, info, adversarial) what is tightest on
            the validation split.
        json_only: print JSON instead of the table.
    """
    from seqvae.data.corpus import Corpus
    from seqvae.evaluation.evaluate import evaluate
    from seqvae.evaluation.proposal import run_width
    from seqvae.priors import Standard
    from seqvae.training import load_text

    model = load_text(run, which, device, prior)
    corpus = Corpus.open(data or model.info["experiment"].data)
    beside = {}
    if "fitted_prior" in model.info:
        dimension = model.need_latent("evaluate").dimension
        beside["standard"] = Standard().build(dimension)
    result = evaluate(
        model.model,
        corpus,
        split,
        samples=samples,
        limit=limit,
        seed=seed,
        max_length=model.info["experiment"].model.max_length,
        pairs=bool(model.info["pairs"]),
        beside=beside,
        widen=run_width(model, corpus) if widen is None else widen,
    )
    _tell(result, run / f"evaluation-{split}.json", json_only)


def _speech(
    run: tyro.conf.Positional[Path],
    data: Path | None = None,
    split: str = "test",
    limit: int = 12,
    pairs: int = 12,
    recordings: int = 200,
    referees: Path | None = None,
    vocoder: Path | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "cpu",
    seed: int = 0,
    json_only: bool = False,
) -> None:
    """Measure a speech run: its costs, what the content leaks of the speaker, and its conversions before referees.

    The referees judge words, speaker, quality, distance, pitch. They are extras: `pip install
    'seqvae[speech-referees]' && pip install --no-deps resemblyzer`, here or in another environment that
    --referees names; those that are absent are left out and named. The sounds stay in RUN/evaluation-SPLIT.

    Args:
        run: a trained speech run.
        data: corpus to measure on; by default the one the run was trained on.
        split: train, valid or test.
        limit: recordings converted for each pair of speakers; 0: none, and no referee is asked.
        pairs: most ordered pairs of speakers.
        recordings: most recordings whose cost is measured.
        referees: a Python that has the referees, e.g. .venv-eval/bin/python of `make eval-env`.
        vocoder: folder of a vocoder; by default the run's own, or Griffin-Lim.
        which: best or last weights.
        device: where to compute.
        seed: fixes everything random.
        json_only: print JSON instead of the tables.
    """
    from seqvae.data.speech.corpus import SpeechCorpus
    from seqvae.evaluation.speech import evaluate_speech
    from seqvae.training import load_speech

    model = load_speech(run, which, device)
    if vocoder is not None:
        model.use_vocoder(vocoder)
    result = evaluate_speech(
        model,
        SpeechCorpus.open(data or Path(model.info["experiment"].data)),
        split,
        limit=limit,
        pairs=pairs,
        recordings=recordings,
        folder=run / f"evaluation-{split}",
        referees=referees,
        seed=seed,
    )
    _tell(result, run / f"evaluation-{split}.json", json_only)


def _frames(
    run: tyro.conf.Positional[Path],
    data: Path | None = None,
    split: str = "test",
    samples: int = 500,
    limit: int | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "cpu",
    seed: int = 0,
    json_only: bool = False,
) -> None:
    """Measure a run on frames: likelihood (importance-weighted), information in z, reconstruction.

    Args:
        run: a trained run on frames.
        data: corpus to measure on; by default the one the run was trained on.
        split: train, valid or test.
        samples: K of the importance-weighted likelihood.
        limit: use only this many sequences.
        which: best or last weights.
        device: where to compute.
        seed: fixes all samples.
        json_only: print JSON instead of the table.
    """
    from seqvae.data.frames.corpus import FramesCorpus
    from seqvae.evaluation.frames import evaluate_frames
    from seqvae.training import load_frames

    model = load_frames(run, which, device)
    corpus = FramesCorpus.open(data or model.info["experiment"].data)
    result = evaluate_frames(model.model, corpus, split, samples=samples, limit=limit, seed=seed)
    _tell(result, run / f"evaluation-{split}.json", json_only)


def _tell(result: Mapping[str, Any], out: Path, json_only: bool) -> None:
    print(json.dumps(result) if json_only else result)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {out}", file=sys.stderr)
