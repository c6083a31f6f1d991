"""Disentanglement: which objective gives every known factor of a sentence a dimension of its own.

    python -m benchmarks.disentangle run --work runs/disentangle
    python -m benchmarks.disentangle table

The corpus is all sentences of `seqvae.data.factors`: who does what to what, how many, when, and whether at all. A cell is one
training with one seed; all have the same networks, data and steps, and differ in the objective alone. The decoder never sees
the words before (word dropout 1), so that all it knows comes from z. Judged: the mutual information gap (MIG) and DCI over all
sentences. A cell whose result exists is skipped, one that was interrupted goes on, and several processes share one list.
Results: benchmarks/results/disentangle/factors/CELL-sSEED.json; `table` writes docs/disentanglement.md and its figure.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.cells import Plan, by_cell, mean_and_deviation
from benchmarks.record import RESULTS, ROOT, ledger
from seqvae import decoders, encoders
from seqvae.config import Experiment, Model, Training
from seqvae.data.corpus import META
from seqvae.data.factors import FACTORS, factored, write_factored
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.evaluation.disentangle import dci, mutual_information_gap
from seqvae.objectives import (
    Capacity,
    Elbo,
    RateTarget,
    TextObjectiveChoice,
    TotalCorrelation,
)
from seqvae.posteriors import Gaussian
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.schedules import Constant, Linear
from seqvae.tasks.text_model import TextModel

FOLDER, NAME = "disentangle", "factors"
PAGES, PICTURE = ROOT / "docs", "disentanglement.png"
DIMENSION = 10
SEEDS = 3
NATS = sum(math.log(len(values)) for values in FACTORS.values())
"""Entropy of a sentence: what a latent that says all of it carries."""
WEIGHT = 0.25
"""Of the KL where it is not the subject: a nat of z saves about one nat of words here, not many as in an image."""

OBJECTIVES: dict[str, TextObjectiveChoice] = {
    "rate": RateTarget(rate=NATS),
    "beta-0.25": Elbo(Constant(WEIGHT)),
    "beta-1": Elbo(Constant(1.0)),
    "beta-4": Elbo(Constant(4.0)),
    "capacity": Capacity(1.0, Linear(0.0, NATS, 0.0, 0.7)),
    "tc-4": TotalCorrelation(beta=4.0, weight=Constant(WEIGHT)),
    "tc-16": TotalCorrelation(beta=16.0, weight=Constant(WEIGHT)),
}


def experiment(corpus: Path, objective: TextObjectiveChoice, steps: int) -> Experiment:
    """What is trained."""
    return Experiment(
        data=str(corpus),
        objective=objective,
        model=Model(
            encoder=encoders.Gru(width=96),
            posterior=Gaussian(DIMENSION),
            decoder=decoders.Gru(width=96),
            word_dropout=1.0,
        ),
        training=Training(
            learning_rate=4e-3,
            steps=steps,
            tokens_per_batch=1024,
            guard="off",
            threads=1,
            device="cpu",
        ),
    )


def run(
    work: Path,
    chosen: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1, 2),
    steps: int = 2000,
    samples: int = 50,
) -> None:
    """Train and measure cells one after another.

    Args:
        work: folder for the corpus and the runs.
        chosen: names of objectives; by default all.
        seeds: one training each.
        steps: of each training.
        samples: K of nll_iw.
    """
    corpus = _prepared(work / "corpus")
    known = {name: experiment(corpus, objective, steps) for name, objective in OBJECTIVES.items()}
    Plan(FOLDER, NAME, corpus, work, known, samples, None, measured).run(
        chosen or tuple(known), seeds
    )


def measured(model: TextModel, folder: Path) -> dict[str, Any]:
    """MIG and DCI over all sentences."""
    everything = factored()
    posteriors = []
    with torch.inference_mode():
        for start in range(0, len(everything), 512):
            texts = [sentence.text for sentence in everything[start : start + 512]]
            found = model.encode(texts)
            assert isinstance(found, DiagonalGaussian)
            posteriors.append(found)
        posterior = DiagonalGaussian(
            torch.cat([found.location for found in posteriors]),
            torch.cat([found.log_variance for found in posteriors]),
        )
        factors = torch.tensor([sentence.values for sentence in everything])
        gap = mutual_information_gap(posterior, factors)
    trees = dci(posterior.mean, factors)
    return {
        "mig": gap.mig,
        "mig_by_factor": dict(zip(FACTORS, gap.by_factor.tolist(), strict=True)),
        "information": gap.information.tolist(),
        "disentanglement": trees.disentanglement,
        "completeness": trees.completeness,
        "informativeness": trees.informativeness,
        "importance": trees.importance.tolist(),
        "kl_by_dimension": posterior.kl().mean(0).tolist(),
    }


def _prepared(folder: Path) -> Path:
    if not (folder / META).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        text = write_factored(folder.parent / "sentences.txt")
        settings = PrepareText(inputs=(str(text),), out=folder, vocab_size=100, byte_fallback=False)
        prepare_text(settings, say=lambda notice: None)
    return folder


OF_FACTORS = ("mig", "disentanglement", "completeness", "informativeness")
OF_REPORT = ("nll_iw", "kl", "mi", "au")


def table() -> None:
    """Write the table, the figure and the ledger's row from all results there are."""
    root = RESULTS / FOLDER
    results = [json.loads(path.read_text()) for path in sorted((root / NAME).glob("*.json"))]
    found = by_cell(results)
    ranked = sorted(found, key=lambda cell: -_mean(found[cell], "mig"))
    heads = ["objective", "seeds", "MIG", "D", "C", "I", "NLL", "KL", "MI", "AU", "CPU s"]
    lines = [
        "# Disentanglement",
        "",
        f"All {len(factored()):,} sentences of seven independent factors ({NATS:.2f} nats), {DIMENSION} latent dimensions; mean ±",
        "standard deviation over seeds. MIG: Chen et al. 2018; D, C, I: disentanglement, completeness and held-out accuracy of",
        "Eastwood and Williams 2018. Written by `python -m benchmarks.disentangle table`; `python -m benchmarks.disentangle run` makes",
        "the results.",
        "",
        "```",
        "seqvae train DATA RUN objective:total-correlation --objective.beta 16",
        "```",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]
    for cell in ranked:
        rows = found[cell]
        shown = [cell, str(len(rows))]
        shown += [mean_and_deviation([row["also"][name] for row in rows]) for name in OF_FACTORS]
        shown += [
            mean_and_deviation([row["report"][name] for row in rows], 2) for name in OF_REPORT
        ]
        spent = [row["train_cpu_seconds"] for row in rows if row["train_cpu_seconds"] is not None]
        lines.append("| " + " | ".join([*shown, f"{mean(spent):.0f}" if spent else ""]) + " |")
    lines += [
        "",
        "MIG asks whether a factor has one dimension, and is high too where that dimension holds other factors",
    ]
    lines += ["beside it; D asks whether a dimension has one factor.", ""]
    lines += [f"![What each dimension tells of each factor](figures/{PICTURE})"]
    (PAGES / "figures").mkdir(parents=True, exist_ok=True)
    (PAGES / "disentanglement.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _figure(PAGES / "figures" / PICTURE, {cell: found[cell][0] for cell in ranked})
    ledger("E", [_bar(found, ranked)], instead_of=root)
    print("\n".join(lines))


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return mean(float(row["also"][name]) for row in rows)


def _bar(found: Mapping[str, Sequence[Mapping[str, Any]]], ranked: Sequence[str]) -> dict[str, Any]:
    """Bar 2's row: all objectives measured with all seeds."""
    whole = [cell for cell in OBJECTIVES if len(found.get(cell, ())) >= SEEDS]
    best, first = ranked[0], found[ranked[0]][0]
    return {
        "bar": "2",
        "what": "disentanglement on sentences of known factors",
        "target": f"MIG and DCI of {', '.join(OBJECTIVES)}, {SEEDS} seeds",
        "figure": f"{len(whole)} of {len(OBJECTIVES)} objectives whole; greatest MIG {best}, "
        f"{_mean(found[best], 'mig'):.3f} (disentanglement {_mean(found[best], 'disentanglement'):.3f})",
        "met": len(whole) == len(OBJECTIVES),
        "command": first["command"],
        "measured_on": first["measured_on"],
        "result_file": RESULTS / FOLDER / NAME / f"{best}-s{first['seed']}.json",
    }


def _figure(path: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """What each dimension says of each factor, a panel each objective (its first seed)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(results), figsize=(2.2 * len(results) + 1, 3.6), layout="constrained", squeeze=False
    )
    entropy = np.log([len(values) for values in FACTORS.values()])
    for axis, (cell, result) in zip(axes[0], results.items(), strict=True):
        shares = np.array(result["also"]["information"]) / entropy
        # Most informative first: their order in z means nothing.
        shares = shares[np.argsort(-shares.max(1))]
        image = axis.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axis.set(title=f"{cell}\nMIG {result['also']['mig']:.2f}", yticks=[])
        axis.set_xticks(range(len(FACTORS)), FACTORS, rotation=90)
    axes[0, 0].set_ylabel("dimensions of z")
    figure.colorbar(image, ax=axes[0, -1], label="I(z_d; factor) / H(factor)")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
