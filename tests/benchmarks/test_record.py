import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import record


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def row(bar: str, figure: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    fields = {"bar": bar, "what": "speed", "target": ">= 5 x", "figure": figure, "met": True}
    return {**fields, "result_file": "x.json", **changes}


def test_a_row_replaces_that_of_the_same_bar_and_leaves_the_others(results: Path) -> None:
    record.ledger("A", [row("4", "3 x"), row("1", "yes")])
    path = record.ledger("A", [row("4", "6 x", result_file=results / "y.json")])
    rows = json.loads(path.read_text())
    assert [(r["bar"], r["figure"], r["result_file"]) for r in rows] == [
        ("1", "yes", "x.json"),
        ("4", "6 x", "results/y.json"),
    ]
    assert list(rows[0]) == list(record.FIELDS)
    assert rows[0]["predicted"] is False


def test_a_row_has_all_its_fields() -> None:
    with pytest.raises(ValueError, match="ledger row"):
        record.ledger("A", [{"bar": "1"}])
    with pytest.raises(ValueError, match="ledger row"):
        record.ledger("A", [row("1", "yes", extra=1)])


def test_a_result_says_where_it_comes_from_and_stays_in_its_folder(results: Path) -> None:
    content = json.loads(record.write_result("some/thing", {"figure": 1}).read_text())
    assert {"command", "commit", "versions", "measured_on", "cpus", "figure"} <= set(content)
    assert str(results.parent) not in json.dumps(content["command"])
    with pytest.raises(ValueError, match="leads out"):
        record.write_result("../../outside", {})
