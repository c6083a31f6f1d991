"""The speech cells' tables and what they say of bar 1; noises and halves of the other speech bars."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import record, speech_denoise, speech_table
from benchmarks.speech_zero_shot import gap_closed

CONVERSION = {
    "items": 40, "errors": {}, "wer": 0.12, "similarity": 0.82, "source_similarity": 0.6,
    "as_target": 1.0, "mcd": 5.9, "ovrl": 2.7, "gap_closed": 0.7,
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "benchmarks" / "results"
    for module in (record, speech_table):
        monkeypatch.setattr(module, "RESULTS", root)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    return root


def write_cell(results: Path, cell: str, rate: float, spent: float | None, **worse: float) -> None:
    groups = {name: CONVERSION for name in (*speech_table.CONTROLS, "conversion")}
    pairs = {"a > b": CONVERSION, "b > a": CONVERSION | worse}
    row = {
        "cell": cell, "seed": 0, "corpus": "toy", "train_cpu_seconds": spent, "command": "python -m x",
        "vocoder_cpu_seconds": 600.0, "vocoder": "V", "parameters": 10, "measured_on": "here",
        "report": {
            "bit_rate": rate, "l1": 0.3, "elbo_frame": 60.0, "leak": 0.5, "groups": groups, "pairs": pairs,
        },
    }  # fmt: skip
    path = results / "speech" / "toy" / f"{cell}-s0.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row), encoding="utf-8")


def ledger_of(results: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((results / "bars" / "D.json").read_text(encoding="utf-8"))
    return {row["what"].removeprefix("conversion on toy: "): row for row in rows}


def test_a_bar_is_met_by_the_worse_direction_in_the_time_given(results: Path) -> None:
    write_cell(results, "default", 700.0, 6500.0, wer=0.16)
    write_cell(results, "rate300", 300.0, None)
    speech_table.write_tables()
    rows = ledger_of(results)
    assert not rows["wer, seed 0"]["met"] and "b > a 16.0%" in rows["wer, seed 0"]["figure"]
    assert rows["similarity, seed 0"]["met"] and rows["mcd, seed 0"]["met"]
    assert rows["training time, seed 0"]["met"]
    table = (results / "speech" / "table.md").read_text(encoding="utf-8")
    assert "conversion, rate300" in table and "| 108 |" in table
    folder = results / "speech" / "toy"
    points = json.loads((folder / "rate_curve.json").read_text(encoding="utf-8"))["points"]
    assert [point["bit_rate"] for point in points] == [300.0, 700.0]
    assert (folder / "rate_curve.png").stat().st_size > 1000


def test_the_vocoders_time_counts_and_unknown_time_is_not_claimed(results: Path) -> None:
    write_cell(results, "default", 700.0, 7000.0)
    speech_table.write_tables()
    assert not ledger_of(results)["training time, seed 0"]["met"]
    write_cell(results, "default", 700.0, None)
    speech_table.write_tables()
    assert "training time, seed 0" not in ledger_of(results)


def test_noise_is_mixed_at_the_level_asked_for() -> None:
    random = np.random.default_rng(0)
    talkers = [random.normal(size=3000).astype(np.float32) for _ in range(3)]
    found = speech_denoise.noises(16_000, 1, talkers)
    assert list(found) == ["white", "pink", "babble"]
    sound = 0.05 * np.sin(np.arange(16_000) / 7).astype(np.float32)
    for noise in found.values():
        assert noise.shape == (16_000,) and np.mean(noise**2) == pytest.approx(1, rel=1e-3)
        mixed = speech_denoise.mix(sound, noise, 5.0)
        scale = (mixed @ sound) / (sound @ sound)
        added = mixed - scale * sound
        ratio = 10 * np.log10(np.sum((scale * sound) ** 2) / np.sum(added**2))
        assert ratio == pytest.approx(5, abs=0.3)
        assert np.abs(mixed).max() <= 0.991
    low, high = np.split(np.abs(np.fft.rfft(found["pink"])) ** 2, [4000, 8000])[:2]
    assert low.sum() > 3 * high.sum()


def test_denoising_is_judged_against_the_noisy_input() -> None:
    row = {"si_sdr": 0.1, "stoi": 0.6, "wer": 0.6}
    groups = {"clean": {"wer": 0.03}}
    for level in speech_denoise.LEVELS:
        groups |= {f"white {level} dB noisy": row}
        groups |= {f"white {level} dB denoised": {"si_sdr": 7.0, "stoi": 0.7, "wer": 0.35}}
    met = {row["what"].split(": ")[-1]: row["met"] for row in speech_denoise.bars("white", groups)}
    assert met == {"SI-SDR improvement": True, "STOI": True, "word errors": False}


def test_the_gap_is_that_between_the_sources_and_the_targets_own() -> None:
    likeness = {"natural": 0.8, "unconverted": 0.5, "conversion": 0.62}
    groups = {name: {"similarity": value} for name, value in likeness.items()}
    assert gap_closed(groups) == pytest.approx(0.4)
