"""The benchmark of disentanglement, from the corpus to the table, in a few steps."""

import json
from pathlib import Path

import pytest

from benchmarks import disentangle, record
from seqvae.data.factors import factored, write_factored


def test_cells_and_the_table_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    results, pages = tmp_path / "results", tmp_path / "docs"
    monkeypatch.setattr(disentangle, "PAGES", pages)
    for module in (record, disentangle):
        monkeypatch.setattr(module, "RESULTS", results)
    monkeypatch.setattr("benchmarks.cells.RESULTS", results)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(disentangle, "factored", lambda: factored(200))
    monkeypatch.setattr(disentangle, "write_factored", lambda path: write_factored(path, 200))
    for _ in range(2):  # the second time there is nothing left to do
        disentangle.run(tmp_path / "work", ("beta-1", "tc-4"), (0,), steps=3, samples=2)
    cells = sorted(path.stem for path in (results / "disentangle" / "factors").iterdir())
    assert cells == ["beta-1-s0", "tc-4-s0"]
    disentangle.table()
    table = (pages / "disentanglement.md").read_text(encoding="utf-8")
    assert "| beta-1 | 1 |" in table and "| tc-4 | 1 |" in table
    assert (pages / "figures" / "disentanglement.png").stat().st_size > 5000
    (row,) = json.loads((results / "bars" / "E.json").read_text(encoding="utf-8"))
    assert row["met"] is False
    assert row["figure"].startswith("0 of 7 objectives whole")
