"""No collapse at no cost in likelihood: the default preset, its rates and other remedies against a language model.

    python -m benchmarks.text_vae run CORPUS --name tatoeba --cells lm vae --seeds 0 1 --work runs/bar2
    python -m benchmarks.text_vae table

CORPUS is a folder written by `seqvae prepare`. A cell is one training with one seed; every cell has the same data, batches,
steps and decoder. A cell whose result exists is skipped and one that was interrupted goes on, so the same command can run again,
or on several machines at once with different cells. CELL+flow is the run of CELL with a prior fitted to its latents (`seqvae fit-prior`). Results: benchmarks/results/text_vae/NAME/CELL-sSEED.json.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cells import FITTED, Plan
from benchmarks.record import RESULTS, ledger
from benchmarks.techniques import techniques
from seqvae.config import Experiment, preset
from seqvae.objectives import RateTarget

FOLDER = "text_vae"
RATES = (2, 4, 8, 16, 32)


def cells(base: Experiment) -> dict[str, Experiment]:
    """Trainings by name: the language model, the default preset and its rates, other techniques."""
    rated = base.objective
    assert isinstance(rated, RateTarget)
    return {
        "lm": replace(base, latent="none"),
        **{
            f"rate{rate}": replace(base, objective=replace(rated, rate=float(rate)))
            for rate in RATES
        },
        **techniques(base),
    }


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    cells: tuple[str, ...],
    work: Path,
    seeds: tuple[int, ...] = (0,),
    epochs: float | None = None,
    samples: int = 500,
    limit: int | None = None,
    threads: int = 1,
) -> None:
    """Train and measure cells one after another.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        cells: names of cells, e.g. lm vae rate4 naive; an unknown one lists them.
        work: folder for the runs.
        seeds: one training each.
        epochs: passes over the training split; by default the preset's.
        samples: K of nll_iw.
        limit: test sequences used; by default all.
        threads: CPU threads.
    """
    # The bar asks for at least 8 nats; validations hold the dial to a few percent.
    base = preset("tiny", rate=8.6)
    training = replace(base.training, threads=threads, epochs=epochs or base.training.epochs)
    known = _cells(replace(base, data=str(corpus), training=training))
    Plan(FOLDER, name, corpus, work, known, samples, limit).run(cells, seeds)


_cells = cells  # `run` has an argument of that name


def table() -> None:
    """Write the table, the rate curve and the ledger's rows from all results there are."""
    root = RESULTS / FOLDER
    lines = [
        "# Text VAEs against a language model with the same decoder, data and steps",
        "",
        "Test split, nats per sequence; `ratio` = nll_iw / the language model's NLL of the same seed; cost = CPU seconds of",
        "training / the language model's. Written by `python -m benchmarks.text_vae table`.",
    ]
    bars: list[dict[str, Any]] = []
    for corpus in sorted(path for path in root.iterdir() if path.is_dir()):
        rows = [json.loads(path.read_text()) for path in sorted(corpus.glob("*.json"))]
        models = {row["seed"]: row for row in rows if row["cell"] == "lm"}
        lines += ["", f"## {corpus.name}", "", "| " + " | ".join(COLUMNS) + " |"]
        lines.append("|" + "---|" * len(COLUMNS))
        for row in sorted(rows, key=lambda r: (r["cell"] != "lm", r["cell"], r["seed"])):
            lines.append("| " + " | ".join(_shown(row, models.get(row["seed"]))) + " |")
            bars += _bars(row, models.get(row["seed"]))
        _curve(corpus, rows)
    ledger("A", bars, instead_of=root)
    (root / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


COLUMNS = [
    "cell",
    "seed",
    "nll_iw",
    "K",
    "ratio",
    "elbo",
    "kl",
    "mi/cap",
    "units",
    "accuracy",
    "bleu",
    "prior_gap",
    "cost",
    "sequences",
]


def _shown(row: dict[str, Any], model: dict[str, Any] | None) -> list[str]:
    report = row["report"]
    base = model["report"]["nll_iw"] if model else None
    ours, theirs = row["train_cpu_seconds"], model and model["train_cpu_seconds"]
    shown = [row["cell"], str(row["seed"]), f"{report['nll_iw']:.2f}"]
    shown.append(str(report.get("samples", "exact")))
    shown.append(f"{report['nll_iw'] / base:.3f}" if base else "")
    if "kl" in report:
        shown += [f"{report['elbo']:.2f}", f"{report['kl']:.2f}"]
        shown.append(f"{report['mi']:.2f}/{report['mi_cap']:.2f}")
        shown.append(f"{report['au']}/{report['dimension']}")
        shown += [f"{report['token_accuracy']:.3f}", f"{report['bleu']:.1f}"]
        shown.append(f"{report['prior_gap']:.2f}")
    else:
        shown += [""] * 7
    shown.append(f"{ours / theirs:.2f}" if ours and theirs else "")
    return [*shown, str(report["sequences"])]


def _bars(row: dict[str, Any], model: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The ledger's rows: bar 2 for the default preset, bar 3 for the rates."""
    report, corpus = row["report"], row["corpus"]
    where = RESULTS / FOLDER / corpus / f"{row['cell']}-s{row['seed']}.json"
    shared = {"result_file": where, "command": row["command"], "measured_on": row["measured_on"]}
    rows: list[dict[str, Any]] = []
    if row["cell"].removesuffix(FITTED) == "vae" and model is not None:
        limit = 1.01 if corpus == "tatoeba" else 1.00
        ratio = report["nll_iw"] / model["report"]["nll_iw"]
        part = report["mi"] / report["mi_cap"]
        met = ratio <= limit and report["kl"] >= 8 and part >= 0.8
        met = met and report["au"] == report["dimension"] and report["samples"] >= 500
        figure = (
            f"{ratio:.4f} x, KL {report['kl']:.2f}, MI {part:.2f} of its cap, "
            f"AU {report['au']}/{report['dimension']}, K {report['samples']}, "
            f"{report['sequences']} test sequences"
        )
        target = f"<= {limit:.2f} x the language model, KL >= 8, MI >= 0.8 cap, AU all, K 500"
        how = ", prior fitted afterwards" if row["cell"] != "vae" else ""
        what = f"default preset on {corpus}, seed {row['seed']}{how}"
        rows.append({"bar": "2", "what": what, "target": target, "figure": figure, "met": met})
    if row["cell"].startswith("rate") or row["cell"] == "vae":
        wanted = row["experiment"]["objective"]["rate"]
        error = report["kl"] / wanted - 1
        what = f"rate {wanted:g} on {corpus}, seed {row['seed']} ({row['cell']})"
        figure = f"test KL {report['kl']:.3f} nats ({error:+.1%})"
        met = abs(error) <= 0.05
        rows.append(
            {"bar": "3", "what": what, "target": "within 5 %", "figure": figure, "met": met}
        )
    return [entry | shared for entry in rows]


def _curve(corpus: Path, rows: list[dict[str, Any]]) -> None:
    """The rate-NLL curve beside the language model's line."""
    points = sorted(
        (row["report"]["kl"], row["report"]["nll_iw"], row["report"]["elbo"])
        for row in rows
        if row["cell"].startswith("rate") or row["cell"] == "vae"
    )
    models = [row["report"]["nll_iw"] for row in rows if row["cell"] == "lm"]
    if len(points) < 2 or not models:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axes.axhline(sum(models) / len(models), color="0.4", ls="--", label="language model")
    rates, bounds, elbos = zip(*points, strict=True)
    axes.plot(rates, bounds, "o-", label="VAE, nll_iw")
    axes.plot(rates, elbos, "o:", label="VAE, -ELBO")
    axes.set(xlabel="rate: KL, nats per sequence", ylabel="nats per sequence", title=corpus.name)
    axes.legend()
    figure.savefig(corpus / "rate_nll.png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
