"""`seqvae demo molecules` and `seqvae molecules score` from end to end, on a made-up MOSES of a few molecules."""

import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae.cli import main

pytest.importorskip("rdkit")
pytest.importorskip("selfies")
pytest.importorskip("fcd_torch")


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from seqvae.data import moses
    from seqvae.evaluation.molecules import filters

    rings = ("c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccc2ccccc2c1")
    chains = ["C" * i + middle + "C" * j for i in range(5) for j in range(5) for middle in "NOS"]
    molecules = ["".join(pair) for pair in itertools.product(chains, rings)]
    folder = tmp_path / "moses"
    (folder / "dataset" / "data").mkdir(parents=True)
    (folder / "metrics").mkdir()
    parts = {"train": molecules[::2], "test": molecules[1::4], "test_scaffolds": molecules[3::4]}
    for name, lines in parts.items():
        with gzip.open(folder / "dataset" / "data" / f"{name}.csv.gz", "wt") as file:
            file.write("\n".join(["SMILES", *lines]) + "\n")
    (folder / "metrics" / "mcf.csv").write_text("names,smarts\nMCF1,[#16]-[#6]\n")
    (folder / "metrics" / "wehi_pains.csv").write_text('"[#7]=[#7]  ","<azo>"\n')
    monkeypatch.setattr(moses, "moses_folder", lambda: folder)
    monkeypatch.setattr(filters, "moses_folder", lambda: folder)
    filters.patterns.cache_clear()
    yield folder
    filters.patterns.cache_clear()


def test_the_demo_and_the_score(
    made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cache = tmp_path / "demo", str(tmp_path / "cache")
    options = ["--molecules", "120", "--steps", "40", "--samples", "30", "--cache", cache]
    told = ["--processes", "1", "--reference-limit", "20"]
    assert main(["demo", "molecules", "--folder", str(folder), *options, *told]) == 0
    shown = capsys.readouterr().out
    assert "VAE (published)" in shown and "this run" in shown
    scores = json.loads((folder / "scores.json").read_text())
    # Every SELFIES is a molecule, but after 40 steps not all it writes are SELFIES.
    assert scores["valid"] >= 0.7
    assert 0 <= scores["filters"] <= 1
    assert {"fcd/test", "snn/test_sf", "frag/test", "scaf/test_sf", "logp/test"} <= scores.keys()
    assert "<svg" in (folder / "molecules.html").read_text()
    # The test set against itself: at no distance from it, and none of it is new.
    same = tmp_path / "same.smi"
    with gzip.open(made_up / "dataset" / "data" / "test.csv.gz", "rt") as file:
        same.write_text("\n".join(file.read().split()[1:]) + "\nC(\n")
    assert main(["molecules", "score", str(same), "--cache", cache, "--processes", "1"]) == 0
    figures = json.loads((tmp_path / "same.moses.json").read_text())
    count = figures["samples"]
    assert figures["valid"] == pytest.approx((count - 1) / count)
    assert figures["fcd/test"] == pytest.approx(0.0, abs=1e-3)
    assert figures["snn/test"] == pytest.approx(1.0)
    assert figures["frag/test"] == pytest.approx(1.0)
    assert figures["fcd/test_sf"] > 0.01
    assert figures["novelty"] == 1.0
    assert "| VAE (published) | 0.9767 |" in capsys.readouterr().out
    assert len(list(Path(cache).glob("*.npz"))) == 4
