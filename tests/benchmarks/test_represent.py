"""The probe finds labels that are there and none that are not."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import represent
from benchmarks.represent import probe, read
from seqvae.errors import UserError


def test_the_probe_reads_what_is_linear() -> None:
    generator = np.random.default_rng(0)
    labels = [str(i % 3) for i in range(180)]
    centres = generator.normal(size=(3, 8)) * 4
    vectors = centres[[int(x) for x in labels]] + generator.normal(size=(180, 8))
    found = probe(vectors[:90], labels[:90], vectors[90:], labels[90:], dense=True)
    assert found["all"] >= 0.95 and found["few"] >= 0.9
    noise = generator.normal(size=(180, 8))
    blind = probe(noise[:90], labels[:90], noise[90:], labels[90:], dense=True)
    assert abs(blind["all"] - 1 / 3) < 0.2  # 4 standard errors of 90


def test_tables(tmp_path: Path) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("how far\tdistance\nwho\tperson\n", encoding="utf-8")
    assert read(table) == (["how far", "who"], ["distance", "person"])
    table.write_text("no label\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1: no tab"):
        read(table)


def test_the_page_names_what_classifies_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(represent, "RESULTS", tmp_path)
    monkeypatch.setattr(represent, "PAGE", tmp_path / "page.md")
    (tmp_path / "represent").mkdir()
    accuracy = {"vae": {"all": 0.5, "few": 0.4}, "tfidf": {"all": 0.8, "few": 0.7}}
    facts = {"classes": 3, "train": 9, "test": 6, "most_frequent": 0.5, "dimension": 4}
    (tmp_path / "represent" / "toy.json").write_text(json.dumps({**facts, "accuracy": accuracy}))
    represent.page()
    page = (tmp_path / "page.md").read_text()
    assert "`seqvae embed` | 50.0 % | 40.0 % |" in page
    assert "take this: words counted (TF-IDF)." in page
