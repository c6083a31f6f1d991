"""Pairs and figures of the denoising benchmark: what a perfect repairer and an idle one get, and the way to the ledger."""

import json
import random
from pathlib import Path

import pytest

from benchmarks import denoise, record
from seqvae.config import Experiment
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.tasks.text_model import TextModel
from tests.tiny import tiny_model

TEXTS = [
    f"the {a} {b} runs over {c} hills"
    for a in ("red", "old")
    for b in ("dog", "fox", "cat")
    for c in range(9)
]


def test_what_repairs_nothing_and_what_repairs_all() -> None:
    idle = denoise.measure(list, TEXTS, 0.2, seed=0)
    assert set(idle) == {"drop", "swap", "typo", "mixed", "none"}
    assert idle["none"] == {"before": 0.0, "after": 0.0}
    for kind in denoise.MIXTURES:
        assert idle[kind]["removed"] == 0.0 and 10 < idle[kind]["before"] < 30
    perfect = denoise.measure(lambda _: TEXTS, TEXTS, 0.2, seed=0)
    assert all(perfect[kind]["removed"] == 1.0 for kind in denoise.MIXTURES)


def test_pairs_hold_each_text_whole_and_damaged(tmp_path: Path) -> None:
    path = denoise.write_pairs(tmp_path / "a.tsv", TEXTS, 3, 0.2, random.Random(0))
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    assert [clean for _, clean in rows] == [text for text in TEXTS for _ in range(4)]
    assert [a for a, _ in rows[::4]] == TEXTS
    changed = [a != b for row, (a, b) in enumerate(rows) if row % 4]
    assert sum(changed) > len(changed) / 2


def test_from_a_corpus_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    corpus = prepare_text(
        PrepareText((str(lines),), tmp_path / "corpus", vocab_size=330, valid=0.2, test=0.2)
    )
    trained: list[Experiment] = []

    def untrained(run: Path, **_: str) -> TextModel:
        return TextModel(tiny_model(vocabulary=corpus.tokenizer.vocab_size), corpus.tokenizer)

    monkeypatch.setattr(denoise, "train", trained.append)
    monkeypatch.setattr(denoise, "load_text", untrained)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(denoise, "RESULTS", tmp_path)
    monkeypatch.setattr(denoise, "PAGE", tmp_path / "docs" / "denoising.md")
    denoise.run(corpus.path, tmp_path / "work", limit=4, beams=(1, 2), costs=(1.0, 99.0))
    assert trained[0].data == str(tmp_path / "work" / "data")
    assert trained[1].latent == "none" and trained[1].data == str(corpus.path)
    found = json.loads((tmp_path / "denoise" / "captions.json").read_text())["methods"]
    assert set(found) == {"rewrite", "edit", "edit, language model"}
    assert set(found["edit"]["validation"]) == {"cost 1", "cost 99"}
    # What has learned nothing had better touch nothing.
    assert found["edit"]["way"] == "cost 99"
    assert found["edit"]["word_errors"]["mixed"]["removed"] == 0.0
    rows = json.loads((tmp_path / "bars" / "E.json").read_text())
    assert len(rows) == 4 and not any(row["met"] for row in rows)
    assert "| rewrite (beam " in (tmp_path / "docs" / "denoising.md").read_text()
