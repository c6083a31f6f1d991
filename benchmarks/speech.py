"""Voice conversion, measured: both directions on held-out prompts, ablations, rates; bar 1 of issue D.

    python -m benchmarks.speech run CORPUS --name arctic --cells default no_norm rate300 --work runs/speech
    python -m benchmarks.speech table

CORPUS is a folder written by `seqvae prepare speech` (benchmarks/speech_data.py makes its manifest). A cell is one
training with one seed; all cells have the same data, batches and vocoder, and those of one `--steps` the same number of
steps. A cell whose result exists is skipped and one that was interrupted goes on, so the same command can run again, or on
several machines at once with different cells. Results: benchmarks/results/speech/NAME/CELL-sSEED.json. The referees are
those of `make eval-env`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from benchmarks import speech_table
from benchmarks.record import RESULTS, write_result
from seqvae.config import Experiment, speech_preset, to_json
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.evaluation.speech import evaluate_speech
from seqvae.objectives import LevelRates
from seqvae.priors import Hierarchical
from seqvae.training import train
from seqvae.training.load import load_speech
from seqvae.vocoders.folder import load_vocoder

RATES = (100, 200, 400, 700, 1000, 1500)


def cells(base: Experiment) -> dict[str, Experiment]:
    """What is compared: the default, without one of its parts, at other rates, with speakers in a table."""

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
        "no_pitch": modelled(pitch=None),
        "stride4": modelled(content=replace(content, stride=4)),
        "table": modelled(speakers="table"),
        "both": modelled(speakers="both"),
        "hierarchical": modelled(style_prior=Hierarchical()),
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
    training = replace(base.training, threads=threads, steps=steps or base.training.steps)
    known = _cells(replace(base, data=str(corpus), training=training))
    for cell in cells:
        if cell not in known:
            raise SystemExit(f"no cell {cell!r}; there are {', '.join(known)}")
    opened = SpeechCorpus.open(corpus)
    for seed in seeds:
        for cell in cells:
            result = f"{speech_table.FOLDER}/{name}/{cell}-s{seed}"
            if (RESULTS / f"{result}.json").exists():
                continue
            folder = work / name / f"{cell}-s{seed}"
            experiment = replace(known[cell], run=str(folder), seed=seed)
            spent = _timed(lambda e=experiment: train(e), folder)  # type: ignore[misc]
            model = load_speech(folder)
            if vocoder is not None:
                model.use_vocoder(load_vocoder(vocoder, model.settings))
            report = dict(
                evaluate_speech(
                    model,
                    opened,
                    "test",
                    limit=limit,
                    pairs=pairs,
                    folder=folder / "evaluation-test",
                )
            )
            (folder / "evaluation-test.json").write_text(json.dumps(report), encoding="utf-8")
            payload = {
                "cell": cell,
                "seed": seed,
                "corpus": name,
                "train_cpu_seconds": spent,
                "vocoder_cpu_seconds": _vocoder_seconds(vocoder),
                "vocoder": type(model.vocoder).__name__,
                "parameters": sum(p.numel() for p in model.model.parameters()),
                "best_step": model.info.get("step"),
                "report": report,
                "experiment": to_json(replace(experiment, data=name, run="")),
            }
            write_result(result, payload)
            print(f"{name} {cell} seed {seed}\n{report}")


_cells = cells  # `run` has an argument of that name


def _timed(work: Callable[[], object], folder: Path) -> float | None:
    """CPU seconds of training; None where an earlier part of it is not in this process's clock."""
    resumed = folder.exists()
    began = time.process_time()
    work()
    return None if resumed else round(time.process_time() - began, 1)


def _vocoder_seconds(vocoder: Path | None) -> float | None:
    """What the vocoder's own training took, as it says; 0 for Griffin-Lim."""
    if vocoder is None:
        return 0.0
    document = json.loads((vocoder / "vocoder.json").read_text(encoding="utf-8"))
    found = document.get("facts", {}).get("cpu_seconds")
    return None if found is None else float(found)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": speech_table.write_tables})
