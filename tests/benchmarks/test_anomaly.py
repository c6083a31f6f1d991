"""The choice of a score and its interval, and all scores of untrained models from tables to ledger."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks import anomaly, record
from seqvae.config import Experiment
from seqvae.data.text import Tokenizer
from seqvae.tasks.text_model import TextModel
from tests.tiny import tiny_model

WORDS = ("where is my bank card", "play some loud music now", "what time does it open")


def test_exchange_keeps_lengths_and_words() -> None:
    texts = list(WORDS) * 40
    found = anomaly.exchange(texts, 0.5, seed=0)
    assert [len(t.split()) for t in found] == [len(t.split()) for t in texts]
    pairs = [
        (a, b)
        for x, y in zip(texts, found, strict=True)
        for a, b in zip(x.split(), y.split(), strict=True)
    ]
    assert {b for _, b in pairs} <= set(" ".join(WORDS).split())
    # Half are drawn anew, one of 15 of these by chance the same: 3 standard errors of 600.
    assert abs(np.mean([a != b for a, b in pairs]) - 0.5 * 14 / 15) < 0.065
    assert found == anomaly.exchange(texts, 0.5, seed=0)
    assert anomaly.exchange(texts, 0.0, seed=0) == texts


def test_the_score_is_chosen_on_the_other_half() -> None:
    generator = np.random.default_rng(0)
    normal = generator.normal(size=400)
    good, bad = generator.normal(2.0, size=100), generator.normal(size=100)
    found = {
        "val": {"kl": normal, "nll_iw": normal, "lm nll": normal},
        "oos_train": {"kl": good, "nll_iw": bad, "lm nll": good},
        "oos_val": {"kl": bad, "nll_iw": good, "lm nll": good},
    }
    rows = anomaly.table(found, draws=200)
    assert anomaly.best(rows) == "kl"
    assert rows["kl"]["choose"] > 0.85 and rows["kl"]["report"] < 0.65
    low, high = rows["nll_iw"]["interval"]
    assert low < rows["nll_iw"]["report"] < high and 0.02 < high - low < 0.12


def test_distances_see_what_is_far() -> None:
    generator = np.random.default_rng(0)
    known = generator.normal(size=(500, 4)) * [1.0, 10.0, 0.1, 1.0]
    far = anomaly.mahalanobis(known, np.array([[0.0, 8, 0, 0], [0, 0, 1, 0]]))
    # 0.8 deviations of a wide direction are nearer than 10 of a narrow one.
    assert far[0] < 1.5 and far[1] == pytest.approx(100, rel=0.2)


def test_from_tables_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def untrained(work: Path, name: str, corpus: Path, experiment: Experiment) -> TextModel:
        tokenizer = Tokenizer((corpus / "tokenizer.model").read_bytes())
        network = tiny_model(latent=experiment.latent == "vae", vocabulary=tokenizer.vocab_size)
        return TextModel(network, tokenizer, crop=True)

    def vectors(texts: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        letters = np.array([[t.count(c) for c in "whenasmytc"] for t in texts], np.float32)
        return np.asarray(letters / np.linalg.norm(letters, axis=1, keepdims=True), np.float32)

    monkeypatch.setattr(anomaly, "trained", untrained)
    monkeypatch.setattr(anomaly, "sentence_vectors", vectors)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    parts = (
        ("where", "when"),
        ("is", "was"),
        ("my", "the"),
        ("card", "bank", "bill"),
        ("now", "then"),
    )
    usual = [" ".join(words) for words in itertools.product(*parts)]
    random.Random(0).shuffle(usual)
    odd = [text[::-1] for text in usual]
    tables = {"train": usual[:30], "val": usual[30:], "oos_train": odd[:9], "oos_val": odd[9:18]}
    for name, texts in tables.items():
        (tmp_path / f"{name}.tsv").write_text("".join(f"{t}\tx\n" for t in texts), "utf-8")
    anomaly.main(tmp_path, tmp_path / "work", vocabulary=330, samples=4)
    found = json.loads((tmp_path / "anomaly" / "clinc150.json").read_text())
    assert found["scores"]["words counted, nearest"]["report"] > 0.95
    assert len(found["scores"]) == 22 and found["chosen"] in found["scores"]
    (row,) = json.loads((tmp_path / "bars" / "E.json").read_text())
    assert found["chosen"] in row["figure"] and row["bar"] == "2"
