"""The page on anomalies from results of texts, sounds and molecules; the score that it calls best."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import anomaly_molecules, anomaly_table


def test_the_page_has_every_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOLDER", "FIGURES"):
        monkeypatch.setattr(anomaly_table, name, tmp_path / name)
    monkeypatch.setattr(anomaly_table, "PAGE", tmp_path / "page.md")
    (tmp_path / "FOLDER").mkdir()
    spent = {"vae": 120.0, "lm": 60.0, "background": 60.0}
    command = "python -m benchmarks.anomaly /far/away/toy --work runs/x"
    scores = {
        name: {"choose": value, "report": value, "interval": [value - 0.1, value + 0.1]}
        for name, value in {"misfit": 0.8, "lm nll": 0.7, "sentence encoder, nearest": 0.9}.items()
    }
    sides = {
        score: {"tone": value, "mean": value}
        for score, value in {"nats": 0.9, "spectral statistics": 0.6, "lm nll": 0.5}.items()
    }
    common = {"command": command, "train_cpu_seconds": spent}
    results = {
        "toy": {"rate": 16.0, "epochs": 10.0, "chosen": "misfit", "scores": scores, **common},
        "audio": {"corpus": "a", "recordings": 5, "known": 9, "chosen": "nats", "report": sides},
        "molecules": {"molecules": 8, "steps": 3, "chosen": "nats", "report": sides},
    }
    for name, result in results.items():
        (tmp_path / "FOLDER" / f"{name}.json").write_text(json.dumps({**common, **result}))
    anomaly_table.table()
    page = (tmp_path / "page.md").read_text()
    assert "python -m benchmarks.anomaly toy --work runs/x" in page and "/far/away" not in page
    assert "| **misfit** | 0.800 | 0.800 | 0.700 to 0.900 |" in page
    assert "Chosen: misfit, 0.800. Not above sentence encoder, nearest (0.900)." in page
    assert "Chosen: nats, 0.900; the best without a VAE is spectral statistics, 0.600." in page
    assert page.count("| **nats** | 0.900 | 0.900 |") == 2
    assert {f.name for f in (tmp_path / "FIGURES").iterdir()} == {
        "anomalies-toy.png",
        "anomalies-audio.png",
    }


def test_molecules_are_compared_by_damage() -> None:
    usual, odd = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    found = {
        anomaly_molecules.WHOLE: {"kl": usual},
        "character": {"kl": odd},
        "valence": {"kl": usual},
    }
    rows = anomaly_molecules.table(found)
    assert rows == {"kl": {"character": 1.0, "valence": 0.5, "mean": 0.75}}
