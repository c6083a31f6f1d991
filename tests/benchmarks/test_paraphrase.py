"""What referees say of known paraphrases, pairs that stay within their picture, and the way from results to page and ledger."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import paraphrase, record, remembered
from benchmarks.paraphrase_judge import Judge
from benchmarks.remembered import Referees
from seqvae.errors import UserError

TEXTS = ["two dogs play in the snow", "a man rides a red bike"]
OTHERS = [["dogs are playing in snow", "two dogs in the snow"], ["a man on a bike"]]


def test_pairs_stay_within_their_picture(tmp_path: Path) -> None:
    pictures = {"train": [["a 1", "b 1", "c 1"], ["a 2", "b 2"]]}
    path = paraphrase._paired(pictures, tmp_path / "pairs", 0)["train"]
    pairs = [line.split("\t") for line in path.read_text().splitlines()]
    assert sorted(a for a, _ in pairs) == sorted(b for _, b in pairs)
    assert len(pairs) == 5
    assert all(a != b and a[-1] == b[-1] for a, b in pairs)


def test_a_picture_with_one_caption(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("one\ttwo\tthree\nalone\tand not\n")
    with pytest.raises(UserError, match=r"a\.tsv, line 2: 2 captions, three are needed"):
        paraphrase.captions(tmp_path / "a.tsv")


def test_judgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def letters(texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        counts = np.array([[t.count(c) for c in "abdegimnor"] for t in texts], np.float32)
        counts /= np.linalg.norm(counts, axis=1, keepdims=True)
        return counts

    def surprisals(texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        return np.array([[2.0 * len(t.split()), len(t.split())] for t in texts])

    monkeypatch.setattr(remembered, "sentence_vectors", letters)
    monkeypatch.setattr(remembered, "surprisals", surprisals)
    judge = Judge(TEXTS, OTHERS, Referees(tmp_path / "referees"))
    copied = judge.row("copy", TEXTS)
    assert copied["bleu_to_input"] == pytest.approx(100) and copied["copies"] == 1.0
    assert copied["to_input"] == pytest.approx(1.0) and copied["nats_per_word"] == 2.0
    assert copied["ibleu_0.8"] == pytest.approx(0.8 * copied["bleu_to_reference"] - 20)
    assert copied["ibleu_0.9"] == pytest.approx(0.9 * copied["bleu_to_reference"] - 10)
    other = judge.row("other", [row[0] for row in OTHERS])
    assert other["bleu_to_reference"] == pytest.approx(100) and other["copies"] == 0.0
    ranked = judge.ranking("pairs", [[OTHERS[0][0], "zzz m"], ["zzz m", OTHERS[1][0]]], 0)
    rows = {row["who"].partition(": ")[2]: row for row in ranked}
    assert set(rows) == {
        "first by the model",
        "any",
        "last by the model",
        "nearest to the references (oracle)",
    }
    oracle = rows["nearest to the references (oracle)"]
    assert oracle["bleu_to_reference"] == pytest.approx(100)


def test_from_results_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (record, paraphrase):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(paraphrase, "PAGE", tmp_path / "docs" / "paraphrase.md")

    def row(who: str, ibleu: float, likeness: float) -> dict[str, float | str]:
        return {
            "who": who,
            "bleu_to_reference": 9.0,
            "bleu_to_input": 30.0,
            "ibleu_0.8": ibleu,
            "to_input": likeness,
            "to_references": likeness,
        }

    names = ("no pairs", "pairs")
    result = {
        "rate": 16.0,
        "steps": 10,
        "train_cpu_seconds": {"single": 60.0, "pairs": 61.0},
        "texts": 2,
        "read": 2,
        "rows": [
            row("copy", 2.0, 1.0),
            row("nearest training caption", 3.0, 0.4),
            *(row(f"{who}, noise {scale}", 3.5, 0.5) for who in names for scale in (0, 1)),
            *(row(f"{who}, of 3: first by the model", 3.0, 0.6) for who in names),
            *(row(f"{who}, of 3: any", 3.0, 0.5) for who in names),
        ],
        "examples": [{"input": "a", "copy": "a"}],
        "command": "python -m benchmarks.paraphrase run",
        "measured_on": "a machine",
    }
    (tmp_path / "paraphrase").mkdir()
    (tmp_path / "paraphrase" / "captions.json").write_text(json.dumps(result))
    paraphrase.table()
    assert "| no pairs, noise 1 | 0.500 |" in paraphrase.PAGE.read_text()
    assert (tmp_path / "docs" / "figures" / "paraphrase-captions.png").exists()
    second, first = json.loads((tmp_path / "bars" / "E.json").read_text())
    assert second["met"]
    assert second["figure"].startswith("no pairs, noise 0: 3.5, to_references 0.500; nearest")
    assert first["met"] and first["figure"] == "+0.100, +0.100 (to_references; no pairs, pairs)"
