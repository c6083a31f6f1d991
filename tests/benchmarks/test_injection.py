"""The ablation's page says what its results say, and its row of the ledger how much is there."""

import json
from pathlib import Path

import pytest

from benchmarks import injection, record
from seqvae.config import preset
from seqvae.config_json import to_json


def test_every_cell_can_be_built() -> None:
    base = preset("tiny", rate=8.0)
    known = injection.cells(base)
    assert {"default", "film", "prefix", "gru", "gru_softmax"} <= set(known)
    sizes = {
        name: sum(p.numel() for p in experiment.text.build(100).decoder.parameters())
        for name, experiment in known.items()
    }
    # One way against another, not a small decoder against a large one.
    assert max(sizes.values()) < 2 * min(sizes.values())


def test_from_results_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (record, injection):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(injection, "PAGE", tmp_path / "injection.md")
    folder = tmp_path / "injection" / "small"
    folder.mkdir(parents=True)
    known = injection.cells(preset("tiny", rate=8.0))
    for nats, cell in ((40.0, "film"), (41.0, "default")):
        report = dict.fromkeys(("kl", "mi", "mi_cap", "au", "token_accuracy", "prior_gap"), 8.0)
        result = {
            "cell": cell,
            "seed": 0,
            "train_cpu_seconds": 9.0,
            "decoder_parameters": 1000,
            "report": {**report, "nll_iw": nats, "sequences": 9, "samples": 500},
            "experiment": to_json(known[cell]),
            "command": "python -m benchmarks.injection run",
            "measured_on": "a machine",
        }
        (folder / f"{cell}-s0.json").write_text(json.dumps(result))
    injection.table()
    page = injection.PAGE.read_text()
    assert page.index("| film | 1 | 40.000 |") < page.index("| default | 1 | 41.000 |")
    assert "9 sequences, K 500." in page
    (row,) = json.loads((tmp_path / "bars" / "E.json").read_text())
    assert not row["met"] and "least NLL film" in row["figure"]
