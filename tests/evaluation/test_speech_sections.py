"""What the page about a speech run shows of its logs and evaluations."""

import json
from pathlib import Path
from typing import Any

from seqvae.config import write_config
from seqvae.evaluation.report.html import Html
from seqvae.evaluation.report.record import RunRecord, read_run
from seqvae.evaluation.report.speech_sections import (
    corpus_facts,
    curves_section,
    evaluation_section,
)
from seqvae.preset_speech import speech_preset

ROW = {
    "items": 4, "errors": {"words": 1}, "wer": 0.125, "similarity": 0.81, "gap_closed": 0.76,
    "as_target": 1.0, "mcd": 5.81, "ovrl": 2.71,
}  # fmt: skip
EVALUATION: dict[str, Any] = {
    "kind": "speech",
    "recordings": 40,
    "elbo_frame": 61.234,
    "bit_rate": 702.4,
    "style": 15.5,
    "l1": 0.41,
    "leak": 0.625,
    "leak_chance": 0.5,
    "groups": {"conversion": ROW, "natural": {"items": 4, "errors": {}, "wer": 0.03}},
    "pairs": {"anna > ben": ROW, "ben > anna": ROW},
    "missing": {"speaker": ["resemblyzer"]},
}


def run_of(folder: Path, *rows: dict[str, Any]) -> RunRecord:
    write_config(folder / "config.json", speech_preset("tiny"))
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    return read_run(folder)


def test_an_evaluation_is_shown_with_its_controls_first() -> None:
    shown = evaluation_section({"test": EVALUATION})
    assert shown is not None
    for words in (
        "61.234 nats a frame", "702 bit/s", "15.5 nats", "62.5%", "12.5%", "0.810", "76%",
        "5.81", "2.71", "anna &gt; ben", "resemblyzer", "pip install",
    ):  # fmt: skip
        assert words in shown
    assert shown.index("Natural") < shown.index("Conversion")
    assert evaluation_section({}) is None


def test_whatever_an_evaluation_file_holds_it_is_shown_as_text() -> None:
    evil = "<script>alert(1)</script>"
    groups = {evil: {**ROW, "wer": evil}, "natural": [1]}
    shown = evaluation_section({"test": {"groups": groups, "pairs": 3, "missing": {evil: [evil]}}})
    assert shown is not None and evil not in shown and "&lt;script" in shown


def test_curves_are_drawn_of_what_was_logged(tmp_path: Path) -> None:
    rows = [
        {"step": step, "split": split, "bit_rate": 700.0 - step, "reconstruction_frame": 60.0}
        | ({"leak": 0.9, "leak_chance": 0.5, "l1": 0.5, "style": 12.0} if split == "valid" else {})
        for step in (100, 200, 300)
        for split in ("train", "valid")
    ]
    run = run_of(tmp_path, *rows)
    page = curves_section(run, {"bit_rate": 700.0})
    assert page.count("<svg") == 5
    for words in ("target, 700 bit/s", "chance", "600.00 bit/s at step 100, 400.00", "How far off"):
        assert words in page


def test_without_logs_it_says_so(tmp_path: Path) -> None:
    assert "Nothing has been logged yet" in curves_section(run_of(tmp_path), {})


def test_a_corpus_is_told_in_minutes() -> None:
    meta = {"splits": {"train": {"recordings": 1000, "seconds": 3600.0}, "test": "damaged"}}
    facts = corpus_facts(meta, [f"s{i}" for i in range(20)])
    assert isinstance(facts, Html)
    for words in ("1,000", "60.0", "20 speakers", "s11, …"):
        assert words in facts
