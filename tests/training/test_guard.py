import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqvae import decoders, encoders
from seqvae.data.corpus import Corpus
from seqvae.objectives import Elbo
from seqvae.schedules import Constant
from seqvae.training import train
from seqvae.training.guard import CollapseGuard
from tests.training.runs import TRANSFORMER, experiment, rows

HEALTHY = {
    "kl": 8.0,
    "mi": 5.0,
    "mi_cap": 6.9,
    "prior_gap": 12.0,
    "active_units": 32.0,
    "dimensions": 32.0,
}
CASES: dict[str, tuple[dict[str, float], str, str]] = {
    "collapsed": (
        {"kl": 0.1, "mi": 0.05, "prior_gap": 0.0, "active_units": 0.0},
        "posterior equals the prior",
        "rate_target",
    ),
    "KL without information": ({"mi": 0.3}, "without telling sentences apart", "word_dropout"),
    "decoder ignores z": ({"prior_gap": 0.5}, "not theirs", "word_dropout"),
}


@pytest.mark.parametrize("problem", CASES)
def test_a_problem_is_named_explained_and_remedied_when_it_lasts(problem: str) -> None:
    change, why, remedy = CASES[problem]
    guard = CollapseGuard("remedy")
    first = guard.judge({**HEALTHY, **change}, 0.3)
    assert (first.problem, first.remedy) == (problem, None)
    assert why in first.words
    assert f"KL {({**HEALTHY, **change})['kl']:.2f} nats" in first.words
    second = guard.judge({**HEALTHY, **change}, 0.35)
    assert second.remedy == remedy
    assert "remedy: from now on" in second.words
    # The remedy gets its time, and is not applied twice.
    assert guard.judge({**HEALTHY, **change}, 0.4).problem is None
    guard.judge({**HEALTHY, **change}, 0.6)
    assert "already in force" in guard.judge({**HEALTHY, **change}, 0.65).words


def test_a_healthy_run_is_left_alone() -> None:
    assert CollapseGuard("remedy").judge(HEALTHY, 0.5).problem is None


def test_the_start_of_a_run_is_not_judged() -> None:
    assert CollapseGuard("remedy").judge({**HEALTHY, "kl": 0.0}, 0.1).problem is None


def test_one_bad_validation_between_good_ones_is_forgiven() -> None:
    guard, bad = CollapseGuard("remedy"), {**HEALTHY, "kl": 0.1}
    assert guard.judge(bad, 0.3).remedy is None
    assert guard.judge(HEALTHY, 0.4).problem is None
    assert guard.judge(bad, 0.5).remedy is None


def test_warn_only_warns_and_off_is_silent() -> None:
    warn, off, bad = CollapseGuard("warn"), CollapseGuard("off"), {**HEALTHY, "kl": 0.1}
    verdicts = [warn.judge(bad, progress) for progress in (0.3, 0.4, 0.5)]
    assert all(v.remedy is None and "only a warning" in v.words for v in verdicts)
    assert off.judge(bad, 0.5).problem is None


def test_state_survives_a_checkpoint() -> None:
    bad: dict[str, Any] = {**HEALTHY, "kl": 0.1}
    guard = CollapseGuard("remedy")
    guard.judge(bad, 0.3)
    for progress in (0.4, 0.5, 0.7, 0.8):
        copy = CollapseGuard("remedy")
        copy.load_state(json.loads(json.dumps(guard.state())))
        assert copy.judge(bad, progress) == guard.judge(bad, progress)
        assert copy.state() == guard.state()


def test_a_run_that_collapses_is_noticed_and_recovers(corpus: Corpus, tmp_path: Path) -> None:
    model = replace(
        TRANSFORMER,
        encoder=encoders.Transformer(layers=1, width=32, heads=2, dropout=0.0),
        decoder=decoders.Transformer(layers=1, width=32, heads=2, dropout=0.0),
    )
    wanted = experiment(
        corpus,
        tmp_path / "remedy",
        model=model,
        objective=Elbo(Constant(10.0)),
        steps=140,
        validate_every=20,
        checkpoint_every=1000,
        learning_rate=0.01,
    )
    train(wanted)
    warned = replace(
        wanted, run=str(tmp_path / "warn"), training=replace(wanted.training, guard="warn")
    )
    train(warned)

    def kl(run: Path) -> list[float]:
        return [row["kl"] for row in rows(run) if row["split"] == "valid"]

    remedied, ignored = kl(tmp_path / "remedy"), kl(tmp_path / "warn")
    log = rows(tmp_path / "remedy", "guard.jsonl")
    applied = next(row["step"] for row in log if "remedy: from now on" in row["words"])
    assert log[0]["event"] == "collapsed"
    assert remedied[applied // 20 - 1] < 0.5
    # The remedy aims at 8 nats where the objective names no rate.
    assert remedied[-1] > 3.0
    assert ignored[-1] < 0.5
    assert all("only a warning" in row["words"] for row in rows(tmp_path / "warn", "guard.jsonl"))
