"""The collapse matrix: every technique against posterior collapse, in a GRU and in a Transformer, measured alike.

    python -m benchmarks.collapse_matrix run CORPUS --name tatoeba --work runs/matrix
    python -m benchmarks.collapse_matrix table

CORPUS is a folder written by `seqvae prepare`. A cell is one training with one seed: same data, batches and steps, networks of
the same size, one estimator for all. Started several times with the same WORK the command shares its cells among the
processes; `--part 1/4` takes every fourth cell for machines with no folder in common. A cell whose result exists is skipped,
one that was interrupted goes on. Results: benchmarks/results/collapse_matrix/NAME/CELL-sSEED.json; `table` writes
docs/collapse_matrix.md, its figure and the ledger's row from all there are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import tyro

from benchmarks.cells import Plan, by_cell, mean_and_deviation
from benchmarks.record import RESULTS, ROOT, ledger
from benchmarks.techniques import techniques
from seqvae import decoders, encoders
from seqvae.config import Experiment, preset

FOLDER = "collapse_matrix"
PAGE = ROOT / "docs" / "collapse_matrix.md"
NETWORKS = ("gru", "transformer")
TECHNIQUES, SEEDS = 12, 3
"""What the bar asks for."""

Results = Sequence[Mapping[str, Any]]


def cells(base: Experiment) -> dict[str, Experiment]:
    """Trainings by name, NETWORK-TECHNIQUE: one layer each way, so that three seeds of all fit a CPU."""
    width = base.text.decoder.width
    usual = base.text.encoder
    networks = {
        "gru": replace(
            base.text,
            encoder=encoders.Gru(width=width, dropout=usual.dropout),
            decoder=decoders.Gru(width=width),
        ),
        "transformer": replace(
            base.text,
            encoder=replace(usual, layers=1),
            decoder=replace(base.text.decoder, layers=1),
        ),
    }
    found = {}
    for network, model in networks.items():
        one = replace(base, model=model)
        found[f"{network}-lm"] = replace(one, latent="none")
        for technique, experiment in techniques(one).items():
            found[f"{network}-{technique}"] = experiment
    return found


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    work: Path,
    chosen: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1, 2),
    rate: float = 8.0,
    epochs: float = 3.0,
    samples: int = 500,
    limit: int | None = 500,
    part: str = "1/1",
    threads: int = 1,
) -> None:
    """Train and measure cells one after another.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        work: folder for the runs.
        chosen: names of cells, e.g. gru-naive transformer-vae; by default all.
        seeds: one training each.
        rate: nats per sequence that rate targets ask for and free bits hold free.
        epochs: passes over the training split.
        samples: K of nll_iw.
        limit: test sequences used.
        part: I/N takes every N-th cell from the I-th on.
        threads: CPU threads.
    """
    base = preset("tiny", rate=rate)
    training = replace(base.training, threads=threads, epochs=epochs)
    known = cells(replace(base, data=str(corpus), training=training))
    first, _, every = part.partition("/")
    if not (first.isdecimal() and every.isdecimal() and 1 <= int(first) <= int(every)):
        raise SystemExit(f"--part is I/N with 1 <= I <= N, got {part!r}")
    mine = (chosen or tuple(known))[int(first) - 1 :: int(every)]
    Plan(FOLDER, name, corpus, work, known, samples, limit).run(mine, seeds)


COLUMNS = {
    "nll_iw": "NLL",
    "elbo": "-ELBO",
    "kl": "KL",
    "mi": "MI",
    "au": "AU",
    "token_accuracy": "accuracy",
    "bleu": "BLEU",
    "prior_gap": "prior gap",
}


def table() -> None:
    """Write the page, its figures and the ledger's rows from all results there are."""
    root = RESULTS / FOLDER
    lines = [
        "# The collapse matrix",
        "",
        "Every technique against posterior collapse, measured by the same estimators on the same data. Nats per test sequence,",
        "mean ± standard deviation over seeds; NLL is importance-weighted with the K of each table; MI is of all test sequences",
        "used, its cap ln N; AU: latent dimensions whose posterior mean has a variance of 0.01 or more; accuracy and BLEU of the",
        "greedy reconstruction; prior gap: what reconstruction loses when z is drawn from the prior; cost: CPU time of training",
        "against the language model's. What each technique is: `benchmarks/techniques.py`. Regenerate:",
        "",
        "    python -m benchmarks.collapse_matrix run CORPUS --name NAME --work WORK",
        "    python -m benchmarks.collapse_matrix table",
    ]
    rows = []
    for corpus in sorted(path for path in root.iterdir() if path.is_dir()):
        results = [json.loads(path.read_text()) for path in sorted(corpus.glob("*.json"))]
        for network in NETWORKS:
            mine = [r for r in results if r["cell"].startswith(f"{network}-")]
            if mine:
                lines += ["", f"## {corpus.name}, {network}", "", *_section(by_cell(mine))]
        _figure(corpus, by_cell(results))
        figure = corpus.relative_to(ROOT) / "matrix.png"
        lines += ["", f"![NLL and MI of every cell](../{figure.as_posix()})"]
        rows.append(_bar(corpus, by_cell(results)))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=root)
    print("\n".join(lines))


def _section(found: Mapping[str, Results]) -> list[str]:
    heads = ["technique", "seeds", *COLUMNS.values(), "MI / cap", "cost"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    baseline = next((r for cell, r in found.items() if cell.endswith("-lm")), ())
    for cell, results in sorted(found.items(), key=lambda item: _mean(item[1], "nll_iw")):
        shown = [cell.partition("-")[2], str(len(results))]
        for column in COLUMNS:
            values = [float(r["report"][column]) for r in results if column in r["report"]]
            shown.append(mean_and_deviation(values, 2) if values else "")
        latent = "mi" in results[0]["report"]
        shown.append(f"{_mean(results, 'mi') / _mean(results, 'mi_cap'):.2f}" if latent else "")
        ours, theirs = _spent(results), _spent(baseline)
        shown.append(f"{ours / theirs:.2f}" if ours and theirs else "")
        lines.append("| " + " | ".join(shown) + " |")
    first = next(iter(found.values()))[0]
    report, training = first["report"], first["experiment"]["training"]
    samples = max(int(r["report"].get("samples", 0)) for results in found.values() for r in results)
    lines += [
        "",
        f"{training['epochs']:g} epochs; {report['sequences']} test sequences, K {samples}.",
    ]
    return lines


def _mean(results: Results, name: str) -> float:
    return mean(float(result["report"][name]) for result in results)


def _spent(results: Results) -> float | None:
    spent = [r["train_cpu_seconds"] for r in results if r["train_cpu_seconds"] is not None]
    return mean(spent) if spent else None


def _figure(corpus: Path, found: Mapping[str, Results]) -> None:
    """NLL over MI, a panel each network: right and low is good, left is collapsed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(NETWORKS), figsize=(13, 5.5), layout="constrained")
    for axis, network in zip(axes, NETWORKS, strict=True):
        for cell, results in found.items():
            if not cell.startswith(f"{network}-"):
                continue
            technique, nll = cell.partition("-")[2], _mean(results, "nll_iw")
            if technique == "lm":
                axis.axhline(nll, color="0.4", ls="--", lw=1, label="language model")
                continue
            point = (_mean(results, "mi"), nll)
            axis.scatter(*point, s=18, color="C3" if technique == "vae" else "C0")
            axis.annotate(technique, point, xytext=(4, 3), textcoords="offset points", fontsize=7)
        axis.set(xlabel="mutual information, nats", ylabel="NLL, nats per sequence", title=network)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    figure.suptitle(corpus.name)
    figure.savefig(corpus / "matrix.png", dpi=110)
    pyplot.close(figure)


def _bar(corpus: Path, found: Mapping[str, Results]) -> dict[str, Any]:
    """Bar 2's row: how many techniques are whole, with all seeds in both networks."""
    whole = {cell for cell, results in found.items() if len(results) >= SEEDS}
    names = {cell.partition("-")[2] for cell in whole} - {"lm"}
    both = {name for name in names if all(f"{network}-{name}" in whole for network in NETWORKS)}
    first = next(iter(found.values()))[0]
    return {
        "bar": "2",
        "what": f"collapse matrix on {corpus.name}",
        "target": f">= {TECHNIQUES} techniques x {{GRU, Transformer}} x {SEEDS} seeds",
        "figure": f"{len(both)} techniques whole ({sum(map(len, found.values()))} cells measured)",
        "met": len(both) >= TECHNIQUES,
        "command": first["command"],
        "measured_on": first["measured_on"],
        "result_file": corpus / f"{first['cell']}-s{first['seed']}.json",
    }


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
