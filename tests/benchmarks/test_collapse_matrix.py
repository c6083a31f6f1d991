"""The matrix holds each technique in each network, and its page and its row of the ledger say how much is measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import collapse_matrix, record
from benchmarks.cells import Plan
from benchmarks.techniques import techniques
from seqvae.config import preset
from seqvae.config_json import to_json


def test_every_technique_is_in_both_networks() -> None:
    base = preset("tiny", rate=8.0)
    known = collapse_matrix.cells(base)
    both = {"lm", *techniques(base)}
    assert {f"{network}-{name}" for network in ("gru", "transformer") for name in both} <= set(
        known
    )
    # The GRU has a way for z to enter that the Transformer's is anyhow.
    assert {name.partition("-")[2] for name in known} - both == {"skip"}
    assert len(both) > collapse_matrix.TECHNIQUES
    for name, experiment in known.items():
        if name.endswith("-lm"):
            continue
        # What cannot be built would be found after hours of other cells.
        model = experiment.text.build(100)
        assert type(model.decoder).__name__.lower().startswith(name.partition("-")[0])


def test_an_unknown_cell_is_named(tmp_path: Path) -> None:
    plan = Plan("collapse_matrix", "x", tmp_path, tmp_path, collapse_matrix.cells(preset("tiny")))
    with pytest.raises(SystemExit, match="no cell 'gru-magic'; there are gru-lm, gru-vae"):
        plan.run(["gru-magic"], [0])


def test_a_part_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--part is I/N"):
        collapse_matrix.run(tmp_path, "x", tmp_path, part="3/2")


def test_from_results_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (record, collapse_matrix):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(collapse_matrix, "PAGE", tmp_path / "docs" / "collapse_matrix.md")
    folder = tmp_path / "collapse_matrix" / "small"
    folder.mkdir(parents=True)
    known = collapse_matrix.cells(preset("tiny"))
    for cell in ("gru-lm", "gru-vae", "gru-naive"):
        for seed in range(2 if cell == "gru-vae" else 1):
            (folder / f"{cell}-s{seed}.json").write_text(
                json.dumps(result(cell, seed, to_json(known[cell])))
            )
    collapse_matrix.table()
    page = collapse_matrix.PAGE.read_text()
    assert "| vae | 2 | 40.50 ± 0.71 | 42.00 ± 0.00 | 8.00 ± 0.00 | 4.00 ± 0.00 |" in page
    assert "## small, gru" in page and "## small, transformer" not in page
    assert (folder / "matrix.png").exists()
    (row,) = json.loads((tmp_path / "bars" / "E.json").read_text())
    assert not row["met"] and row["figure"] == "0 techniques whole (4 cells measured)"


def result(cell: str, seed: int, experiment: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, float] = {"nll_iw": 40.0 + seed, "sequences": 9}
    if not cell.endswith("lm"):
        latent = {"elbo": 42.0, "kl": 8.0, "mi": 4.0, "mi_cap": 5.0, "au": 32, "samples": 500}
        report |= latent | {"token_accuracy": 0.4, "bleu": 1.0, "prior_gap": 9.0}
    return {
        "cell": cell,
        "seed": seed,
        "train_cpu_seconds": 9.0,
        "report": report,
        "experiment": experiment,
        "command": "python -m benchmarks.collapse_matrix run",
        "measured_on": "a machine",
    }
