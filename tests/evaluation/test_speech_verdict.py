"""What the report says of speech runs."""

from typing import Any

import pytest

from seqvae.evaluation.report.speech_verdict import judge

GOOD: dict[str, Any] = {
    "bit_rate": 305.0,
    "style": 14.0,
    "leak": 0.55,
    "leak_chance": 0.5,
    "groups": {
        "natural": {"wer": 0.04},
        "unconverted": {"mcd": 7.4},
        "copy synthesis": {"wer": 0.05},
        "conversion": {
            "gap_closed": 0.8,
            "as_target": 1.0,
            "similarity": 0.85,
            "wer": 0.12,
            "mcd": 5.8,
        },
    },
}


def changed(**conversion: float) -> dict[str, Any]:
    groups = {**GOOD["groups"], "conversion": {**GOOD["groups"]["conversion"], **conversion}}
    return {**GOOD, "groups": groups}


def test_a_good_run_is_good() -> None:
    verdict = judge(GOOD, None, 300.0)
    assert verdict.level == "good" and "converts voices" in verdict.headline
    assert not verdict.advice
    assert [reason.level for reason in verdict.reasons] == ["good"] * 6


@pytest.mark.parametrize(
    ("evaluation", "level", "words"),
    [
        (changed(gap_closed=0.1, as_target=0.2), "bad", "taken for the target"),
        (changed(gap_closed=0.5), "fair", "50% of the way"),
        (changed(wer=0.6), "bad", "60% of the conversions' words"),
        (changed(wer=0.3), "fair", "30% of the conversions' words"),
        (changed(mcd=7.3), "bad", "hardly nearer"),
        ({**GOOD, "leak": 0.99}, "fair", "it knows who speaks"),
        ({**GOOD, "style": 0.1}, "bad", "collapsed"),
        ({**GOOD, "bit_rate": 500.0}, "fair", "67% too high"),
    ],
)
def test_the_worst_is_in_the_headline(evaluation: dict[str, Any], level: str, words: str) -> None:
    verdict = judge(evaluation, None, 300.0)
    assert verdict.level == level
    assert words in verdict.headline


def test_without_an_evaluation_it_asks_for_one() -> None:
    measured = {name: GOOD[name] for name in ("bit_rate", "style", "leak", "leak_chance")}
    verdict = judge(None, measured, None)
    assert verdict.level == "none" and "seqvae evaluate" in verdict.advice
    assert judge(None, {**measured, "style": 0.0}, None).level == "bad"
    assert judge(None, None, 300.0).reasons == []


def test_what_a_file_may_hold_is_no_trap() -> None:
    broken = {**GOOD, "groups": [], "leak": "x", "bit_rate": float("nan"), "style": None}
    assert judge(broken, None, 300.0).level == "none"
    assert judge({"groups": {"conversion": [1]}}, None, None).reasons == []
