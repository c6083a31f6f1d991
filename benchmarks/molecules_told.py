"""Molecules of wanted properties: a conditional model that is told logP and drug-likeness, asked for values it may not have seen together.

    seqvae prepare molecules moses DATA --limit 200000 --vocab-size 500 --notation selfies --properties logp qed
    python -m benchmarks.molecules_told run DATA --work runs/molecules_told
    python -m benchmarks.molecules_told table

For each pair of values molecules are drawn from what is expected of such, and rdkit says what they are; beside them molecules of the
training set: how near its own molecules would come if they were drawn at random. Results: benchmarks/results/molecules_told/NAME.json;
`table` writes docs/molecules_told.md and the ledger's row.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.molecules import experiment
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from seqvae.config_json import to_json
from seqvae.data.chemistry import canonical, molecule
from seqvae.data.corpus import Corpus
from seqvae.data.properties import BY_NAME
from seqvae.data.smiles import to_smiles
from seqvae.priors import Standard
from seqvae.tasks.molecules.model import SAMPLING, MoleculeModel
from seqvae.training import train

FOLDER = "molecules_told"
PAGE = ROOT / "docs" / "molecules_told.md"
ASKED = {"logp": (0.5, 1.5, 2.5, 3.5, 4.5), "qed": (0.6, 0.75, 0.9)}
TARGET = 0.8
"""Of the correlation of what is asked for and what is drawn, for each property."""


def run(
    data: tyro.conf.Positional[Path],
    work: Path,
    name: str = "moses",
    minutes: float = 10.0,
    rate: float = 24.0,
    texts: int = 100,
    seed: int = 0,
) -> None:
    """Train, draw, and have rdkit measure.

    Args:
        data: prepared with --properties logp qed.
        work: folder for the run.
        name: of the result.
        minutes: CPU time of the training, about.
        rate: nats per molecule of z.
        texts: molecules drawn for each pair of values.
        seed: of training and drawing.
    """
    corpus = Corpus.open(data)
    base = experiment(
        data, work / name, minutes=minutes, rate=rate, width=256, dimension=64, threads=1
    )
    # Each molecule is expected where its properties say: the flow has no room for them.
    model = replace(base.text, conditional=True, prior=Standard())
    wanted = replace(base, seed=seed, model=model)
    with counted(work / f"{name}.cpu.json"):
        train(wanted)
    cells = []
    known = _training(corpus)
    for logp in ASKED["logp"]:
        for qed in ASKED["qed"]:
            told = MoleculeModel.load(work / name, label=(f"logp={logp:g}", f"qed={qed:g}"))
            smiles = list(told.sample(texts, replace(SAMPLING, seed=seed + 1)))
            cells.append({"logp": logp, "qed": qed, **_drawn(smiles, known)})
    every = {prop: [c[prop] for c in cells for _ in c["found"][prop]] for prop in ASKED}
    got = {prop: [value for c in cells for value in c["found"][prop]] for prop in ASKED}
    figures = {
        prop: {
            "correlation": float(np.corrcoef(every[prop], got[prop])[0, 1]),
            "off": float(np.mean(np.abs(np.subtract(every[prop], got[prop])))),
            "off_of_training": _off_of_training(corpus, prop),
        }
        for prop in ASKED
    }
    payload = {
        "corpus": name,
        "texts": texts,
        "train_cpu_seconds": cpu_seconds(work / f"{name}.cpu.json"),
        "molecules": len(corpus.split("train")),
        "figures": figures,
        "cells": [{key: value for key, value in c.items() if key != "found"} for c in cells],
        "experiment": to_json(replace(wanted, data=name, run="")),
    }
    print(json.dumps(figures, indent=1))
    write_result(f"{FOLDER}/{name}", payload)


def _training(corpus: Corpus) -> set[str]:
    """Molecules that the model has seen, one spelling each."""
    store, tokenizer = corpus.split("train"), corpus.tokenizer
    texts = [tokenizer.decode(store.tokens(row).tolist()) for row in range(len(store))]
    return set(map(str, map(canonical, to_smiles(texts, "selfies"))))


def _drawn(smiles: list[str], known: set[str]) -> dict[str, Any]:
    """What rdkit says of molecules that were drawn."""
    molecules = [mol for mol in map(molecule, smiles) if mol is not None]
    spelled = {canonical(one) for one in smiles} - {None}
    found = {prop: [BY_NAME[prop](mol) for mol in molecules] for prop in ("logp", "qed")}
    return {
        "valid": len(molecules) / len(smiles),
        "unique": len(spelled) / max(1, len(molecules)),
        "novel": len(spelled - known) / max(1, len(spelled)),
        "mean": {prop: float(np.mean(values)) for prop, values in found.items()},
        "deviation": {prop: float(np.std(values)) for prop, values in found.items()},
        "found": found,
    }


def _off_of_training(corpus: Corpus, prop: str) -> float:
    """How far training molecules lie from the values asked for, on average."""
    place = [one.name for one in corpus.attributes].index(prop)
    known = corpus.split("train").attributes
    assert known is not None
    return float(np.mean([np.abs(known[:, place] - value).mean() for value in ASKED[prop]]))


def table() -> None:
    """Write the page and the ledger's rows of all results there are."""
    lines = [
        "# Molecules of wanted properties",
        "",
        "A conditional model is told logP (octanol against water) and QED (drug-likeness) of each molecule, as numbers: `prepare molecules",
        "--properties logp qed`, `train --model.conditional`, then `molecules sample RUN --label logp=2.5 --label qed=0.9`. Written by",
        "`python -m benchmarks.molecules_told table`; `... run` makes the results.",
    ]
    rows: list[dict[str, Any]] = []
    for path in sorted((RESULTS / FOLDER).glob("*.json")):
        found = json.loads(path.read_text())
        lines += _page(path.stem, found)
        rows.append(_bar(path, found))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=RESULTS / FOLDER)
    print("\n".join(lines))


def _page(name: str, found: dict[str, Any]) -> list[str]:
    lines = [
        "",
        f"## {name}",
        "",
        f"{found['molecules']:,} molecules, {found['train_cpu_seconds'] / 60:.0f} CPU-minutes; {found['texts']} molecules drawn for each pair.",
        "",
        "| property | correlation of asked and drawn | off by | training molecules, drawn at random, off by |",
        "|---|---|---|---|",
    ]
    for prop, figures in found["figures"].items():
        lines.append(
            f"| {prop} | {figures['correlation']:.3f} | {figures['off']:.3f} | {figures['off_of_training']:.3f} |"
        )
    lines += [
        "",
        "| logP asked | QED asked | logP drawn | QED drawn | valid | unique | novel |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in found["cells"]:
        shown = [
            f"{cell['mean'][prop]:.2f} ± {cell['deviation'][prop]:.2f}" for prop in ("logp", "qed")
        ]
        shares = " | ".join(f"{cell[key]:.0%}" for key in ("valid", "unique", "novel"))
        lines.append(f"| {cell['logp']:g} | {cell['qed']:g} | {' | '.join(shown)} | {shares} |")
    return lines


def _bar(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    figures = found["figures"]
    said = ", ".join(
        f"{prop} {one['correlation']:.3f} (off by {one['off']:.2f}, at random {one['off_of_training']:.2f})"
        for prop, one in figures.items()
    )
    return {
        "bar": "2",
        "what": f"generation: molecules of {path.stem} of wanted properties",
        "target": f"correlation of values asked for and drawn >= {TARGET}",
        "figure": said,
        "met": all(one["correlation"] >= TARGET for one in figures.values()),
        "command": found["command"],
        "measured_on": found["measured_on"],
        "result_file": path,
    }


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
