"""Objectives of their own kind train, resume and reach what they are for, through the one trainer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqvae.data.corpus import Corpus
from seqvae.objectives import Capacity, Importance, Info, Mmd, TextObjectiveChoice, TotalCorrelation
from seqvae.schedules import Constant, Linear
from seqvae.training import Trainer, load_text
from tests.training.runs import TRANSFORMER, experiment, kill_at, result, rows

OBJECTIVES: list[TextObjectiveChoice] = [
    Importance(4),
    Capacity(),
    TotalCorrelation(),
    Mmd(),
    Info(),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__.lower())
def test_a_killed_run_ends_as_if_it_had_not_been(
    objective: TextObjectiveChoice, corpus: Corpus, tmp_path: Path
) -> None:
    wanted = experiment(corpus, tmp_path / "whole", objective=objective)
    Trainer(wanted).fit()
    resumed = replace(wanted, run=str(tmp_path / "resumed"))
    kill_at(resumed, 7)
    Trainer(resumed).fit()
    assert result(tmp_path / "resumed") == result(tmp_path / "whole")


def test_importance_weighting_trains_a_tighter_bound(corpus: Corpus, run: Path) -> None:
    wanted = experiment(corpus, run, model=TRANSFORMER, objective=Importance(8), steps=60)
    Trainer(wanted).fit()
    train = [row for row in rows(run) if row["split"] == "train"]
    valid = [row["bound"] for row in rows(run) if row["split"] == "valid"]
    # The bound lies below the ELBO of the same step.
    assert all(row["bound"] < row["reconstruction"] + row["kl"] for row in train)
    assert valid[-1] < valid[0] - 2.0
    assert load_text(run, "last").info["experiment"].objective == Importance(8)


def test_the_capacity_is_reached_and_kept(corpus: Corpus, run: Path) -> None:
    objective = Capacity(10.0, Linear(0.0, 5.0, 0.0, 0.5))
    Trainer(experiment(corpus, run, objective=objective, steps=120)).fit()
    train = [row for row in rows(run) if row["split"] == "train"]
    # Means of 20 steps each: it grows along the way and stays from half the run on.
    assert train[0]["kl"] < 1.5 < train[1]["kl"] < 4.0
    assert [row["capacity"] for row in train[3:]] == [5.0] * 3
    assert [row["kl"] for row in train[3:]] == pytest.approx([5.0] * 3, abs=0.5)


def test_total_correlation_falls_where_it_costs_more_than_the_other_parts(
    corpus: Corpus, tmp_path: Path
) -> None:
    shares = []
    for beta in (1.0, 10.0):
        run = tmp_path / f"{beta:g}"
        objective = TotalCorrelation(beta=beta, weight=Constant(0.05))
        settings: dict[str, Any] = {
            "steps": 100,
            "tokens_per_batch": 600,
            "validate_every": 50,
            "guard": "off",
        }
        Trainer(experiment(corpus, run, objective=objective, **settings)).fit()
        train = [row for row in rows(run) if row["split"] == "train"]
        for row in train:
            # One sample's KL, beside the closed form.
            parts = ("information", "total_correlation", "dimension_wise")
            assert sum(row[name] for name in parts) == pytest.approx(row["kl"], rel=0.1)
        assert train[-1]["information"] > 1.0
        shares.append(train[-1]["total_correlation"] / train[-1]["information"])
        assert load_text(run, "last").info["experiment"].objective == objective
    assert shares[1] < 0.4 * shares[0]
