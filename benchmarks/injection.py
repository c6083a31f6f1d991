"""How z enters the decoder: every way alone and the default of several, at the same rate.

    python -m benchmarks.injection run CORPUS --name tatoeba --work runs/injection
    python -m benchmarks.injection table

CORPUS is a folder written by `seqvae prepare`. A cell is one training of the default preset with one seed, which differs
from the others in how z enters alone; `gru` and `gru_*` are those of a GRU decoder. A cell whose result exists is skipped and
one that was interrupted goes on, so the same command can run again, or on several machines at once with different cells.
Results: benchmarks/results/injection/NAME/CELL-sSEED.json; `table` writes docs/injection.md and the ledger's row.
"""

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, get_args

import tyro

from benchmarks.cells import Plan, by_cell, mean_and_deviation
from benchmarks.record import RESULTS, ROOT, ledger
from seqvae import decoders
from seqvae.config import Experiment, preset
from seqvae.decoders.injection import Injection
from seqvae.decoders.recurrent import GruInjection

FOLDER = "injection"
PAGE = ROOT / "docs" / "injection.md"
SAMPLES = 500
"""K of the likelihood."""


def cells(base: Experiment) -> dict[str, Experiment]:
    """Trainings by name."""
    usual = base.text.decoder
    assert isinstance(usual, decoders.Transformer)

    def with_(decoder: decoders.DecoderChoice) -> Experiment:
        return replace(base, model=replace(base.text, decoder=decoder))

    found = {way: with_(replace(usual, injection=way)) for way in get_args(Injection)}
    for way in get_args(GruInjection):
        # A block of the Transformer has as many weights as two layers of a GRU of its width.
        name = "gru" if way == "default" else f"gru_{way}"
        found[name] = with_(decoders.Gru(layers=2 * usual.layers, width=usual.width, injection=way))
    return found


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    work: Path,
    chosen: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1, 2),
    rate: float = 8.0,
    epochs: float | None = None,
    samples: int = SAMPLES,
    limit: int | None = None,
    threads: int = 1,
) -> None:
    """Train and measure cells one after another.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        work: folder for the runs.
        chosen: names of cells; by default all.
        seeds: one training each.
        rate: nats that the latent shall carry in every cell: likelihoods at the same rate compare.
        epochs: passes over the training split; by default the preset's.
        samples: K of nll_iw.
        limit: test sequences used; by default all.
        threads: CPU threads.
    """
    base = preset("tiny", rate=rate)
    training = replace(base.training, threads=threads, epochs=epochs or base.training.epochs)
    known = cells(replace(base, data=str(corpus), training=training))
    Plan(FOLDER, name, corpus, work, known, samples, limit).run(chosen or tuple(known), seeds)


COLUMNS = ("nll_iw", "kl", "mi", "au", "token_accuracy", "prior_gap")


def table() -> None:
    """Write the page, mean and deviation over seeds, and the ledger's row of each corpus."""
    root = RESULTS / FOLDER
    lines = [
        "# How z enters the decoder",
        "",
        "Trainings of the default preset at one rate that differ in how z enters alone (`--model.decoder.injection`); the GRU's have",
        "as many weights. Test split; nats per sequence; mean ± standard deviation over seeds where there are several.",
        "Written by `python -m benchmarks.injection table`; `python -m benchmarks.injection run` makes the results.",
    ]
    rows: list[dict[str, Any]] = []
    for corpus in sorted(path for path in root.iterdir() if path.is_dir()):
        found = by_cell([json.loads(path.read_text()) for path in sorted(corpus.glob("*.json"))])
        lines += ["", f"## {corpus.name}", ""]
        heads = ["cell", "seeds", *COLUMNS, "MI cap", "decoder parameters", "CPU s"]
        lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        ranked = sorted(found.items(), key=lambda item: _mean(item[1], "nll_iw"))
        lines += ["| " + " | ".join(_row(cell, results)) + " |" for cell, results in ranked]
        first = ranked[0][1][0]
        epochs, samples = first["experiment"]["training"]["epochs"], first["report"]["samples"]
        lines += ["", f"{epochs:g} epochs; {first['report']['sequences']} sequences, K {samples}."]
        rows.append(_bar(corpus, found))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=root)
    print("\n".join(lines))


def _mean(results: list[dict[str, Any]], name: str) -> float:
    return mean(float(result["report"][name]) for result in results)


def _row(cell: str, results: list[dict[str, Any]]) -> list[str]:
    shown = [cell, str(len(results))]
    for name in COLUMNS:
        shown.append(mean_and_deviation([float(result["report"][name]) for result in results]))
    spent = [r["train_cpu_seconds"] for r in results if r["train_cpu_seconds"] is not None]
    shown.append(f"{_mean(results, 'mi_cap'):.2f}")
    shown.append(f"{results[0]['decoder_parameters']:,}")
    return [*shown, f"{mean(spent):.0f}" if spent else ""]


def _bar(corpus: Path, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Bar 2's row: all ways measured with three seeds at the full number of samples."""
    wanted = set(get_args(Injection))
    whole = {
        cell
        for cell, results in found.items()
        if len(results) >= 3 and all(r["report"]["samples"] >= SAMPLES for r in results)
    }
    best = min(found, key=lambda cell: _mean(found[cell], "nll_iw"))
    first = next(iter(found.values()))[0]
    return {
        "bar": "2",
        "what": f"injection ablation on {corpus.name}",
        "target": f"NLL and MI of {', '.join(sorted(wanted))}, 3 seeds, K {SAMPLES}",
        "figure": f"{len(wanted & whole)} of {len(wanted)} ways whole; least NLL {best}, "
        f"{_mean(found[best], 'nll_iw'):.3f} nats at MI {_mean(found[best], 'mi'):.2f}",
        "met": wanted <= whole,
        "command": first["command"],
        "measured_on": first["measured_on"],
        "result_file": corpus / f"{first['cell']}-s{first['seed']}.json",
    }


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
