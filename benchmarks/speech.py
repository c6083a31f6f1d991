"""Voice conversion, measured: both directions on held-out prompts, ablations, rates; bar 1 of issue D.

    python -m benchmarks.speech vocoder CORPUS runs/speech/vocoder --training.steps 6000
    python -m benchmarks.speech run CORPUS --name arctic --cells default no_norm rate300 --work runs/speech
    python -m benchmarks.speech judge RUN --name arctic --cell default
    python -m benchmarks.speech table

CORPUS is a folder written by `seqvae prepare speech`. A cell is one training with one seed; `default` is
`seqvae train CORPUS RUN --model.speakers table`. All cells of a NAME have the same data, batches, vocoder and number of
steps. A cell whose result exists is skipped and one that was interrupted goes on, so the same command can run again, or on
several machines at once with different cells. Results: benchmarks/results/speech/NAME/CELL-sSEED.json. The referees are
those of `make eval-env`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks import speech_table
from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import RESULTS, write_result
from seqvae.config import Experiment
from seqvae.config_json import to_json
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.evaluation.speech import SpeechReport, evaluate_speech
from seqvae.objectives import LevelRates
from seqvae.preset_speech import speech_preset
from seqvae.priors import Hierarchical
from seqvae.training import train
from seqvae.training.load import load_speech
from seqvae.training.vocoder import train_vocoder
from seqvae.training.vocoder_config import VocoderExperiment, VocoderTraining
from seqvae.vocoders import Istft, LinearHead
from seqvae.vocoders.folder import load_vocoder

RATES = (200, 400, 1200, 1600)


def cells(base: Experiment) -> dict[str, Experiment]:
    """What is compared: speakers in a table, without one part, at other rates, with a style encoder."""

    def modelled(**changes: Any) -> Experiment:  # noqa: ANN401
        return replace(base, model=replace(base.speech, **changes))

    content = base.speech.content
    rated = base.objective
    assert isinstance(rated, LevelRates)
    without_norm = replace(content, instance_norm=False)
    return {
        "default": base,
        "no_norm": modelled(content=without_norm),
        "no_warp": modelled(warp=0.0),
        "no_norm_no_warp": modelled(content=without_norm, warp=0.0),
        "no_smooth": modelled(content=replace(content, smooth=0)),
        "no_pitch": modelled(pitch=False),
        "no_harmonics": modelled(decoder=replace(base.speech.decoder, harmonics=False)),
        "no_equalizer": modelled(equalizer=0.0),
        "no_tempo": modelled(tempo=0.0),
        "no_dropout": modelled(
            content=replace(content, dropout=0.0), decoder=replace(base.speech.decoder, dropout=0.0)
        ),
        "stride4": modelled(content=replace(content, stride=4)),
        "encoder": modelled(speakers="encoder"),
        "both": modelled(speakers="both"),
        "hierarchical": modelled(speakers="encoder", style_prior=Hierarchical()),
        **{
            f"rate{rate}": replace(base, objective=replace(rated, content=float(rate)))
            for rate in RATES
        },
    }


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    cells: tuple[str, ...],
    work: Path,
    vocoder: Path | None = None,
    seeds: tuple[int, ...] = (0,),
    steps: int | None = None,
    limit: int = 20,
    pairs: int = 12,
    threads: int = 1,
) -> None:
    """Train and judge cells one after another.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        cells: names of cells, e.g. default no_norm rate100; an unknown one lists them.
        work: folder for the runs.
        vocoder: of the corpus, written by `seqvae vocoder`; by default Griffin-Lim.
        seeds: one training each.
        steps: of training; by default the preset's.
        limit: held-out recordings converted for each pair of speakers.
        pairs: most pairs of speakers.
        threads: CPU threads.
    """
    base = speech_preset("tiny")
    # Few voices, all of them known: each has a row of its own.
    base = replace(base, model=replace(base.speech, speakers="table"))
    training = replace(base.training, threads=threads, steps=steps or base.training.steps)
    known = _cells(replace(base, data=str(corpus), training=training))
    for cell in cells:
        if cell not in known:
            raise SystemExit(f"no cell {cell!r}; there are {', '.join(known)}")
    for seed in seeds:
        for cell in cells:
            if (RESULTS / f"{_result(name, cell, seed)}.json").exists():
                continue
            folder = work / name / f"{cell}-s{seed}"
            with counted(_clock(folder)):
                train(replace(known[cell], run=str(folder), seed=seed))
            judge(folder, name, cell, vocoder, limit, pairs)


def vocoder(
    corpus: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    kind: Literal["linear-head", "istft"] = "linear-head",
    training: VocoderTraining = VocoderTraining(),  # noqa: B008
) -> None:
    """Train a vocoder as `seqvae vocoder` does, and count its CPU time.

    Args:
        corpus: prepared corpus.
        out: folder of the vocoder.
        kind: what is trained.
        training: how.
    """
    learned = LinearHead() if kind == "linear-head" else Istft()
    with counted(_clock(out)):
        train_vocoder(
            VocoderExperiment(data=str(corpus), out=str(out), vocoder=learned, training=training)
        )


def judge(
    run: tyro.conf.Positional[Path],
    name: str,
    cell: str = "default",
    vocoder: Path | None = None,
    limit: int = 20,
    pairs: int = 12,
) -> None:
    """Judge a trained run as a cell; one that is there is replaced.

    Args:
        run: a trained run, its corpus where it was.
        name: what to call the corpus in the results.
        cell: what to call the run.
        vocoder: of the corpus; by default the run's own, or Griffin-Lim.
        limit: held-out recordings converted for each pair of speakers.
        pairs: most pairs of speakers.
    """
    model = load_speech(run)
    if vocoder is not None:
        model.use_vocoder(load_vocoder(vocoder, model.settings))
    experiment = model.info["experiment"]
    report = dict(
        evaluate_speech(
            model,
            SpeechCorpus.open(experiment.data),
            "test",
            limit=limit,
            pairs=pairs,
            folder=run / "evaluation-test",
        )
    )
    # For `seqvae report`, which draws the runs of a folder over their rates.
    (run / "evaluation-test.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    payload = {
        "cell": cell,
        "seed": experiment.seed,
        "corpus": name,
        "train_cpu_seconds": cpu_seconds(_clock(run)),
        "vocoder_cpu_seconds": _vocoder_seconds(vocoder),
        "vocoder": type(model.vocoder).__name__,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        "best_step": model.info.get("step"),
        "report": report,
        "experiment": to_json(replace(experiment, data=name, run="")),
    }
    write_result(_result(name, cell, experiment.seed), payload)
    print(f"{name} {cell} seed {experiment.seed}\n{SpeechReport(report)}")


def _result(name: str, cell: str, seed: int) -> str:
    return f"{speech_table.FOLDER}/{name}/{cell}-s{seed}"


def _clock(run: Path) -> Path:
    """Beside the run, not in it: a run's folder is made by its training."""
    return run.with_name(f"{run.name}.cpu.json")


_cells = cells  # `run` has an argument of that name


def _vocoder_seconds(vocoder: Path | None) -> float | None:
    """What the vocoder's own training took; 0 for Griffin-Lim, None where nobody counted."""
    return 0.0 if vocoder is None else cpu_seconds(_clock(vocoder))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"run": run, "vocoder": vocoder, "judge": judge, "table": speech_table.write_tables}
    )
