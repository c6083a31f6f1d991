"""Splits of verses that do not touch, rivals that do what their names say, and the way from results to page and ledger."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import record, remembered, transfer
from benchmarks.remembered import Referees
from benchmarks.transfer_judge import Judge
from benchmarks.transfer_rivals import (
    Style,
    lexicon,
    markers,
    neighbours,
    substituted,
    unseen,
    verses,
    without_markers,
)
from seqvae.errors import UserError

OLD = [f"thou hast seen the {a} {b}" for a in ("red", "old", "big") for b in "abcdefgh"]
NEW = [f"you have seen the {a} {b}" for a in ("red", "old", "big") for b in "abcdefgh"]


def written(folder: Path) -> Path:
    """Two translations of 24 verses; every eighth is tested, every eighth validates."""
    for style, texts in (("kjv", OLD), ("bbe", NEW)):
        out = folder / f"bible_{style}_asv"
        out.mkdir(parents=True)
        for split, kept in (("test", (0,)), ("valid", (1,)), ("train", range(2, 8))):
            rows = [f"{text}\tverse {i}\n" for i, text in enumerate(texts) if i % 8 in kept]
            (out / f"{split}.tsv").write_text("".join(rows), encoding="utf-8")
    return folder


def test_splits_do_not_touch_and_the_test_is_joined(tmp_path: Path) -> None:
    folder = written(tmp_path)
    # A verse of the other translation's training set that is tested in this one.
    with (folder / "bible_bbe_asv" / "train.tsv").open("a") as table:
        table.write("you have seen the leak\tverse 0\n")
    found = verses(folder)
    assert "you have seen the leak" not in found.train["bbe"]
    assert len(found.train["kjv"]) == len(found.train["bbe"]) == 18
    assert not set(found.train["kjv"]) & {*found.valid["kjv"], *found.test["kjv"]}
    pairs = list(zip(found.test["kjv"], found.test["bbe"], strict=True))
    assert len(pairs) == 3
    assert all(NEW[OLD.index(a)] == b for a, b in pairs)
    order = [NEW.index(text) for text in found.train["bbe"]]
    assert order != [OLD.index(text) for text in found.train["kjv"]]


def test_a_table_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.tsv: No such file"):
        verses(tmp_path)
    written(tmp_path)
    (tmp_path / "bible_kjv_asv" / "valid.tsv").write_text("one column\n")
    with pytest.raises(UserError, match=r"valid\.tsv, line 1: 1 columns, expected 2"):
        verses(tmp_path)


def test_words_that_mark_a_style() -> None:
    marked = markers(OLD, NEW)
    assert marked == {"thou", "hast"}
    assert without_markers(["thou hast seen it", "thou hast"], marked) == ["seen it", "thou hast"]


def test_words_in_the_place_of_others() -> None:
    said = ("red", "old", "big", "low", "hot", "wet", "far", "new", "odd", "dry", "raw", "shy")
    old = [f"so thou see it come unto the {what}" for what in said]
    new = [f"so you see it come to the {what}" for what in said]
    # Company tells which word of the other style is meant.
    words = lexicon(old, new)
    assert words == {"thou": "you", "unto": "to"}
    assert substituted(["thou and unto thee"], words) == ["you and to thee"]
    assert lexicon(old, old) == {}


def test_what_is_tested_is_not_known() -> None:
    assert unseen({"kjv": ["a", "b"], "bbe": ["c"]}, ["b", "x"]) == {"kjv": ["a"], "bbe": ["c"]}


def test_a_judge_asks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("sacrebleu")
    asked: list[str] = []

    def vectors(texts: Sequence[str]) -> Any:  # noqa: ANN401
        asked.extend(texts)
        return np.array([[1.0, 0.0] if "thou" in text else [0.6, 0.8] for text in texts])

    def nats(texts: Sequence[str]) -> Any:  # noqa: ANN401
        asked.extend(texts)
        return np.array([[3.0 * len(text.split()), 1.0] for text in texts])

    monkeypatch.setattr(remembered, "sentence_vectors", vectors)
    monkeypatch.setattr(remembered, "surprisals", nats)
    classify = Style({"kjv": OLD, "bbe": NEW})

    def judge() -> Judge:
        return Judge(OLD[:4], NEW[:4], "bbe", classify, Referees(tmp_path / "referees"), 2)

    row = judge().row("copy", OLD[:4])
    assert row["style"] == 0.0 and row["joint"] == 0.0 and row["copies"] == 1.0
    assert row["self_bleu"] == pytest.approx(100) and row["self_chrf"] == pytest.approx(100)
    assert row["content"] == pytest.approx(1.0) and row["to_reference"] == pytest.approx(0.6)
    assert row["nats_per_word"] == pytest.approx(3.0)
    assert len(asked) == 4 + 4 + 2
    row = judge().row("the other", NEW[:4])
    assert row["style"] == 1.0 and row["joint"] == pytest.approx(0.6**0.5) and row["copies"] == 0.0
    assert row["bleu"] == pytest.approx(100) and row["chrf"] == pytest.approx(100)
    assert len(asked) == 4 + 4 + 2 + 2  # what is new to the language model


def test_without_referees_their_figures_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("sacrebleu")
    monkeypatch.setattr(remembered, "sentence_vectors", lambda _: None)
    monkeypatch.setattr(remembered, "surprisals", lambda _: None)
    judge = Judge(OLD, NEW, "bbe", Style({"kjv": OLD, "bbe": NEW}), Referees(tmp_path), 2)
    assert not {"content", "joint", "nats_per_word"} & set(judge.row("copy", OLD))


def test_a_classifier_and_neighbours() -> None:
    pytest.importorskip("sklearn")
    classify = Style({"kjv": OLD, "bbe": NEW})
    assert classify.share(["thou hast seen me", "thou art"], "kjv") == 1.0
    assert classify.share(["you have seen me"], "kjv") == 0.0
    assert neighbours(["thou hast big"], ["you have seen the red a", "a big one"]) == ["a big one"]


def test_from_results_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (record, transfer):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(transfer, "PAGE", tmp_path / "docs" / "transfer.md")
    rows = [
        {
            "who": "copy",
            "style": 0.0,
            "bleu": 9.0,
            "self_bleu": 100.0,
            "content": 1.0,
            "joint": 0.0,
        },
        {"who": "style words deleted", "style": 0.2, "bleu": 5.0, "self_bleu": 50.0},
        {"who": "nearest training verse", "style": 1.0, "bleu": 5.0, "self_bleu": 50.0},
        {"who": "VAE", "style": 0.9, "bleu": 5.0, "self_bleu": 50.0, "content": 0.5, "joint": 0.67},
        {"who": "VAE, beam 4", "style": 0.9, "bleu": 5.0, "self_bleu": 50.0, "joint": 0.6},
    ]
    found = {"rows": rows, "examples": [{"source": "thou", "VAE": "you", "copy": "no"}]}
    result = {
        "rate": 32.0,
        "dimension": 64,
        "steps": 10,
        "train_cpu_seconds": 60.0,
        "verses": 3,
        "read_for_fluency": 2,
        "classifier_accuracy": {"kjv": 0.99, "bbe": 0.98},
        "style_from_z": 0.6,
        "style_from_z_within_its_prior": 0.5,
        "directions": {"kjv to bbe": found, "bbe to kjv": found},
        "command": "python -m benchmarks.transfer run",
        "measured_on": "a machine",
    }
    (tmp_path / "transfer").mkdir()
    (tmp_path / "transfer" / "bible.json").write_text(json.dumps(result))
    transfer.table()
    page = transfer.PAGE.read_text()
    assert "| VAE | 90.0% | 0.500 | 0.670 |" in page and "- VAE: you" in page
    assert "- copy: no" not in page and "60.0% of verses, 50.0% within" in page
    assert "mean of both directions: VAE 0.670; copy 0.000." in page
    assert (tmp_path / "docs" / "figures" / "transfer-bible.png").exists()
    (row,) = json.loads((tmp_path / "bars" / "E.json").read_text())
    assert row["met"] and row["figure"] == "VAE 0.670; copy 0.000"
