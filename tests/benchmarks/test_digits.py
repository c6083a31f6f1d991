"""The judges of pictures know blur, collapse and noise; the page is made of what there is."""

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.digits import cells
from benchmarks.digits_exported import CELLS
from benchmarks.digits_page import CLOSED, ledger_rows, page
from benchmarks.picture_quality import class_entropy, edge_energy, mean_distance, quality


def pictures(count: int = 80, seed: int = 0) -> Any:  # noqa: ANN401
    return (np.random.default_rng(seed).random((count, 6, 6)) > 0.6).astype(float)


class Bright:
    """Two classes: bright and dark."""

    def predict(self, x: Any, /) -> Any:  # noqa: ANN401
        return (x.mean(1) > 0.4).astype(int)


def test_each_judge_sees_its_own_flaw() -> None:
    train, test = pictures(), pictures(seed=1)
    blurred = 0.5 * (test + np.roll(test, 1, 1))
    usual = quality(pictures(seed=2), train, test, Bright())
    assert all(
        usual[name] == pytest.approx(1.0, abs=0.1) for name in ("sharpness", "diversity", "nearest")
    )
    assert quality(blurred, train, test, Bright())["sharpness"] < 0.8
    collapsed = np.repeat(test[:1], 80, 0)
    alike = quality(collapsed, train, test, Bright())
    assert alike["diversity"] == pytest.approx(0.0, abs=1e-6) and alike["class_entropy"] == 0.0
    assert quality(train, train, test, Bright())["nearest"] == pytest.approx(0.0, abs=1e-6)
    assert quality(5.0 * test, train, test, Bright())["nearest"] > 2.0


def test_the_numbers_are_those_of_small_cases() -> None:
    two = np.array([[[0.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 4.0]]])
    assert mean_distance(two) == pytest.approx(5.0)
    # Of the second: 9 + 16 down, 9 + 16 across, over four differences each.
    assert edge_energy(two) == pytest.approx(25 / 4 + 25 / 4)
    assert class_entropy(np.array([1, 1, 2, 2])) == pytest.approx(math.log(2))


def results() -> dict[str, Any]:
    row = {"sharpness": 0.5, "diversity": 0.9, "nearest": 0.8, "class_entropy": 0.97}
    report = {
        **{
            name: 1.0
            for name in ("nll_iw", "nll_iw_se", "elbo", "kl", "mi", "mi_cap", "squared_error")
        },
        "measure": "density",
        "au": 3,
        "dimension": 16,
    }
    whole = {
        "report": report,
        "samples": {"means at 1": row},
        "reconstructions": row,
        "referee_accuracy": 0.98,
        "reconstruction_accuracy": 0.9,
        "label_accuracy": 0.95,
        "cpu_seconds": 20.0,
        "measured_on": "a machine",
    }
    found = {name: whole for name in cells()}
    found["unseen-9"] = {"report": report, "auroc": {"elbo": 0.9}, "measured_on": "a machine"}
    exact = {"nll": 0.9, "mi": 1.0}
    found[CLOSED] = {"report": report, "closed_form": exact, "measured_on": "a machine"}
    return found


def test_the_page_and_the_ledger_are_made_of_what_there_is() -> None:
    found = results()
    text = page(found)
    assert (
        text.count("figures/digits-") == 8
        and "AUROC of 9" in text
        and "Exact: -log p(x) 0.900" in text
    )
    verify = dict.fromkeys(("frames_error", "latent_error", "generate_error"), 1e-6)
    verify |= {"model_megabytes": 0.6, "sequence_ms": 0.2, "torch_sequence_ms": 1.0}
    told = {"verify": verify, "other_label": 0.9, "digits": 10}
    files: dict[str, dict[str, Any]] = {"normal": {"verify": verify}, "conditional": told}
    again = page(found, files)
    assert "| normal | 1e-06 |" in again and "in 90.0 % of 90 cases" in again
    assert "As one file" not in text
    rows = {row["what"]: row["met"] for row in ledger_rows(found)}
    assert rows == {
        "reproduction: linear-Gaussian frames": True,
        "generation: digits by their label": True,
        "blur: digits": False,
        "anomaly detection: a digit never seen": True,
    }
    assert "linear" not in page({"laplace": found["laplace"]})
    assert ledger_rows({"laplace": found["laplace"]}) == []


def test_what_is_exported_is_a_cell() -> None:
    assert {*CELLS} <= {*cells()} and any(cells()[name].conditional for name in CELLS)
