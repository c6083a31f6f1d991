"""A few rows of the comparison of runtimes: it sees different texts, and they are equal."""

from pathlib import Path

import pytest

from benchmarks import wasm
from benchmarks.sampled import (
    BEAM_SIZE,
    bars,
    character_model,
    compare,
    make_cases,
    share_equal,
)
from seqvae.export.variants import Settings, export_source, write_variant


def test_cases_cover_seeds_and_styles() -> None:
    cases = make_cases(200)
    seeds = [int(case.options["seed"]) for case in cases]
    assert {0, -1, 2**63 - 1, -(2**63)} < set(seeds)
    assert (
        len({(seed, case.options["sample"]) for seed, case in zip(seeds, cases, strict=True)})
        == 200
    )
    assert all(case.options["temperature"] > 0 for case in cases)
    assert cases[0].text == ""


def test_bars_tell_whether_they_are_met() -> None:
    equal = {"onnxruntime": 1.0, "wasm": 0.998, "onnxruntime_alone": 1.0, "wasm_alone": 0.98}
    rows = bars({"rows": 1000, "equal": equal}, Path("result.json"))
    assert [row["met"] for row in rows] == [True, False, True, False]
    assert rows[1]["figure"] == "99.80% of 1,000"


def test_share_equal() -> None:
    assert share_equal([1, 2, 3, 4], [1, 2, 0, 4]) == 0.75


@pytest.mark.skipif(wasm.missing() is not None, reason=str(wasm.missing()))
@pytest.mark.slow
def test_three_runtimes_write_the_same(tmp_path: Path) -> None:
    model = character_model(width=32, layers=1, latent=8)
    settings = Settings("char", beam_size=BEAM_SIZE)
    write_variant(tmp_path, export_source(model, settings), "fp32", settings)
    result = compare(model, tmp_path / "model.onnx", make_cases(96))
    assert result["distinct_texts"] > 80
    assert result["lengths"]["least"] < result["lengths"]["mean"] < result["lengths"]["most"]
    assert result["equal"]["onnxruntime"] > 0.98
    assert result["equal"]["wasm"] > 0.98
    assert result["equal"]["onnxruntime_alone"] == 1
