"""MOSES on a CPU: one training, its samples judged beside the published models, its latent searched.

    seqvae prepare molecules moses DATA --limit 800000 --vocab-size 500 --notation selfies
    python -m benchmarks.molecules run DATA --work runs/molecules
    python -m benchmarks.molecules use DATA --work runs/molecules
    python -m benchmarks.molecules table

DATA is what the first command wrote; runs of SMILES and of SELFIES may stand beside each other under two --name. `run`
trains (or goes on, or finds it trained), counts the CPU time, and measures: the MOSES table of 30,000 samples, exact
reconstruction and information on molecules of MOSES' test set. `use` searches around 100 of these for drug-likeness, by
three ways of stepping at the same number of decoded molecules, tells damaged strings from whole ones, and draws.
Results: benchmarks/results/molecules.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import RESULTS, ledger, write_result
from seqvae import decoders, encoders
from seqvae.config import Experiment, Model, Training
from seqvae.config_json import to_json
from seqvae.data.corpus import Corpus
from seqvae.evaluation.evaluate import evaluate
from seqvae.evaluation.molecules.published import table as moses_table
from seqvae.evaluation.molecules.score import moses_scores, reconstructed
from seqvae.objectives import RateTarget
from seqvae.posteriors import Gaussian
from seqvae.priors import Flow
from seqvae.tasks.molecules.anomaly import detection
from seqvae.tasks.molecules.draw import draw, walk
from seqvae.tasks.molecules.model import MoleculeModel
from seqvae.tasks.molecules.optimize import Search, optimize, summary
from seqvae.training import train

FOLDER = "molecules"
STEPS_PER_MINUTE = 300
"""Of this training on one core of an EPYC of 2023."""
ENDS = ("CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccc(C(C)C(=O)O)cc1")
"""Paracetamol and ibuprofen, between which the figure walks."""


def experiment(
    data: Path, run: Path, *, minutes: float, rate: float, width: int, dimension: int, threads: int
) -> Experiment:
    """The training."""
    return Experiment(
        data=str(data),
        run=str(run),
        objective=RateTarget(rate=rate),
        model=Model(
            encoder=encoders.Gru(width=width, dropout=0.0, pooling="mean_max"),
            posterior=Gaussian(dimension=dimension),
            # Learned with the model: under the standard normal the same reconstruction costs 10 nats more, and fewer
            # samples are molecules.
            prior=Flow(),
            decoder=decoders.Gru(width=width, dropout=0.0),
        ),
        training=Training(
            steps=max(1, round(minutes * STEPS_PER_MINUTE)),
            tokens_per_batch=1024,
            learning_rate=3e-3,
            validate_every=max(1, round(minutes * STEPS_PER_MINUTE) // 15),
            threads=threads,
        ),
    )


def run(
    data: tyro.conf.Positional[Path],
    work: Path,
    name: str = "moses",
    minutes: float = 120.0,
    rate: float = 48.0,
    width: int = 384,
    dimension: int = 64,
    samples: int = 30_000,
    reconstruct: int = 5000,
    reference_limit: int | None = None,
    cache: Path | None = None,
    processes: int = os.cpu_count() or 1,
    threads: int = 1,
) -> None:
    """Train, sample, measure.

    Args:
        data: prepared molecules.
        work: the run's folder; one that was interrupted goes on, one that is done is only measured.
        name: of the result.
        minutes: CPU time of the training, about.
        rate: nats that the latent shall carry.
        width: of both networks.
        dimension: of the latent.
        samples: drawn from the prior.
        reconstruct: test molecules written again.
        reference_limit: molecules of each test set that samples are compared with; by default all.
        cache: where the statistics of the test sets are kept.
        processes: how many judge samples.
        threads: CPU threads of the training.
    """
    clock = work.with_name(work.name + ".cpu.json")
    wanted = experiment(
        data, work, minutes=minutes, rate=rate, width=width, dimension=dimension, threads=threads
    )
    with counted(clock):
        train(wanted)
    model = MoleculeModel.load(work)
    corpus = Corpus.open(data)
    report = evaluate(model.model.model, corpus, "test", samples=100, limit=reconstruct)
    held_out = model.held_out(reconstruct)
    written = list(model.sample(samples))
    (work / "samples.smi").write_text("\n".join(written) + "\n", encoding="utf-8")
    scores = moses_scores(
        written, cache=cache, processes=processes, reference_limit=reference_limit
    )
    result = {
        "name": name,
        "notation": model.notation,
        "training_molecules": len(corpus.split("train")),
        "train_cpu_seconds": cpu_seconds(clock),
        "experiment": to_json(model.model.info["experiment"]),
        "samples": samples,
        "reference_limit": reference_limit,
        "reconstruction": reconstructed(held_out, model.reconstruct(held_out)),
        "reconstructed_molecules": len(held_out),
        "scores": scores,
        "report": {key: report[key] for key in ("nll_iw", "kl", "mi", "mi_cap", "reconstruction")},
    }
    path = write_result(f"{FOLDER}/{name}", result)
    ledger("E", _bars(result, path))
    table()


def _bars(result: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Bar 3's rows of one training."""
    scores, report = result["scores"], result["report"]
    spent = result["train_cpu_seconds"]
    hours = "unknown" if spent is None else f"{spent / 3600:.2f}"
    where = (
        f"{result['name']} ({result['notation']}, {result['training_molecules']:,} molecules of MOSES' training "
        f"set, {hours} CPU-hours)"
    )
    share = report["mi"] / report["mi_cap"]
    figures = [
        ("valid", ">= .95", scores["valid"], scores["valid"] >= 0.95),
        (
            "exact reconstruction",
            ">= .90",
            result["reconstruction"],
            result["reconstruction"] >= 0.9,
        ),
        ("MI of its cap", ">= .9", share, share >= 0.9),
        ("unique@10k", ">= .998", scores["unique@10000"], scores["unique@10000"] >= 0.998),
    ]
    return [
        {
            "bar": "3",
            "what": f"MOSES, {result['name']}: {what}",
            "target": f"{target} in 2 CPU-hours",
            "figure": f"{figure:.4f}, {where}",
            "met": bool(met and spent is not None and spent <= 7200 * 1.05),
            "result_file": path,
        }
        for what, target, figure, met in figures
    ]


def use(
    data: tyro.conf.Positional[Path],
    work: Path,
    name: str = "moses",
    molecules: int = 100,
    rounds: int = 20,
    population: int = 64,
) -> None:
    """Search, tell broken strings, draw.

    Args:
        data: prepared molecules.
        work: a run.
        name: of the result.
        molecules: of the test set, to start searches from.
        rounds: of each search.
        population: decoded in each round.
    """
    model = MoleculeModel.load(work)
    starts = model.held_out(molecules, data=data)
    found: dict[str, Any] = {}
    for similarity in (0.4, 0.6):
        for label, search in _searches(similarity, rounds, population).items():
            results = optimize(model, starts, search)
            found[f"{label} similarity {similarity}"] = summary(results)
            if label == "evolution" and similarity == 0.4:
                best = sorted(results, key=lambda one: -one.gain)[:6]
                pairs = [
                    p for one in best for p in ((one.start, one.before), (one.best, one.after))
                ]
                draw(
                    [text for text, _ in pairs],
                    RESULTS / FOLDER / f"{name}-search.svg",
                    [f"QED {value:.2f}" for _, value in pairs],
                )
    result: dict[str, Any] = {"name": name, "molecules": molecules, "search": found}
    if model.notation == "smiles":
        result["anomalies"] = detection(model, model.held_out(1000, data=data))
    draw(walk(model, *ENDS, steps=16), RESULTS / FOLDER / f"{name}-walk.svg")
    write_result(f"{FOLDER}/{name}-uses", result)
    table()


def _searches(similarity: float, rounds: int, population: int) -> dict[str, Search]:
    """Ways to search that decode as many molecules."""
    usual = Search(similarity=similarity, rounds=rounds, population=population)
    return {
        "evolution": usual,
        "one parent": dataclasses.replace(usual, parents=1),
        # All steps from the start: what is found at random around it.
        "random": dataclasses.replace(usual, rounds=1, population=rounds * population),
    }


def table() -> None:
    """Write benchmarks/results/molecules/table.md."""
    results = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((RESULTS / FOLDER).glob("*.json"))
    ]
    trained = [result for result in results if "scores" in result]
    lines = ["# MOSES", "", "Written by `python -m benchmarks.molecules table`.", ""]
    lines += [moses_table({result["name"]: result["scores"] for result in trained}), ""]
    lines += [
        "| run | notation | training molecules | CPU-hours | written again exactly | MI | its cap | KL |"
    ]
    lines += ["|---|---|---:|---:|---:|---:|---:|---:|", *map(_facts, trained)]
    lines += _uses([result for result in results if "search" in result])
    (RESULTS / FOLDER / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _facts(result: dict[str, Any]) -> str:
    report, spent = result["report"], result["train_cpu_seconds"]
    cells = [
        result["name"],
        result["notation"],
        f"{result['training_molecules']:,}",
        "" if spent is None else f"{spent / 3600:.2f}",
        f"{result['reconstruction']:.1%} of {result['reconstructed_molecules']:,}",
        f"{report['mi']:.2f}",
        f"{report['mi_cap']:.2f}",
        f"{report['kl']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _uses(results: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["", "| run | search for QED | improved | mean gain | mean similarity |"]
    lines += ["|---|---|---:|---:|---:|"]
    for result in results:
        for label, row in result["search"].items():
            lines.append(
                f"| {result['name']} | {label} | {row['improved']:.0%} | {row['gain']:.3f} | "
                f"{row['similarity']:.2f} |"
            )
    for result in results:
        for damage, value in result.get("anomalies", {}).items():
            lines += ["", f"{result['name']}: AUROC of damaged strings, {damage}: {value:.4f}"]
    return lines


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "use": use, "table": table})
