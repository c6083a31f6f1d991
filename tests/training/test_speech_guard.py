"""What the guard of speech says of a validation, and what it does."""

from typing import Any

import pytest

from seqvae.objectives import Elbo, LevelRates
from seqvae.training.speech_guard import DEAD_BITS, SpeechGuard

HEALTHY: dict[str, Any] = {
    "bit_rate": 650.0,
    "content_frame": 7.2,
    "prior_gap": 12.0,
    "active_units": 24.0,
    "dimensions": 32.0,
    "style": 15.0,
    "style_active_units": 12.0,
    "style_dimensions": 16.0,
    "leak": 0.7,
    "leak_frame": 0.55,
    "leak_chance": 0.5,
}
NO_STYLE = {name: value for name, value in HEALTHY.items() if not name.startswith("style")}


def guard(mode: str = "remedy", voices: int = 4, controlled: bool = True) -> SpeechGuard:
    objective = LevelRates() if controlled else Elbo()
    return SpeechGuard(mode, objective, voices)  # type: ignore[arg-type]


def test_a_healthy_run_is_left_alone() -> None:
    assert guard().judge(HEALTHY, 0.5).problem is None
    assert guard().judge(NO_STYLE, 0.5).problem is None


def test_a_content_that_says_nothing_is_found_and_its_rate_held_when_it_lasts() -> None:
    watch = guard(controlled=False)
    silent = {**HEALTHY, "bit_rate": DEAD_BITS / 2, "content_frame": 0.1, "prior_gap": 0.0}
    first = watch.judge(silent, 0.3)
    assert (first.problem, first.remedy) == ("content collapsed", None)
    assert "content 10.0 bit/s, 24 of 32 units active, prior gap 0.00 nats a frame" in first.words
    assert watch.judge(silent, 0.4).remedy == "rate_target"


def test_a_decoder_that_does_not_listen_is_found_and_advice_given_once() -> None:
    watch = guard()
    deaf = {**HEALTHY, "prior_gap": 0.05 * HEALTHY["content_frame"]}
    first = watch.judge(deaf, 0.3)
    assert (first.problem, first.remedy) == ("decoder ignores content", None)
    assert "--model.content.width" in first.words
    assert watch.judge(deaf, 0.4).problem is None


@pytest.mark.parametrize("controlled", [False, True])
def test_a_silent_style_is_held_or_advice_given(controlled: bool) -> None:
    watch = guard(controlled=controlled)
    faceless = {**HEALTHY, "style": 0.2}
    first = watch.judge(faceless, 0.3)
    assert first.problem == "style collapsed"
    assert "style 0.20 nats, 12 of 16 units active" in first.words
    second = watch.judge(faceless, 0.4)
    if controlled:
        assert "--model.speakers both" in first.words and second.remedy is None
    else:
        assert second.remedy == "rate_target"


def test_one_voice_needs_no_style() -> None:
    assert guard(voices=1).judge({**HEALTHY, "style": 0.0}, 0.5).problem is None


@pytest.mark.parametrize(
    ("leak", "chance", "told"),
    [(0.89, 0.5, False), (0.91, 0.5, True), (0.81, 0.01, True), (0.79, 0.01, False)],
)
def test_a_speaker_in_the_content_is_told_from_four_fifths_of_certainty(
    leak: float, chance: float, told: bool
) -> None:
    seen = {**HEALTHY, "leak": leak, "leak_chance": chance}
    verdict = guard().judge(seen, 0.5)
    assert (verdict.problem == "content tells the speaker") == told
    if told:
        assert f"of {leak:.0%} of the recordings (chance {chance:.0%})" in verdict.words
        assert "--model.warp" in verdict.words


def test_without_a_probe_nothing_is_said_of_the_speaker() -> None:
    seen = {name: value for name, value in HEALTHY.items() if not name.startswith("leak")}
    assert guard().judge(seen, 0.5).problem is None


def test_the_worst_comes_first() -> None:
    seen = {**HEALTHY, "bit_rate": 0.0, "style": 0.0, "leak": 1.0, "prior_gap": 0.0}
    assert guard().judge(seen, 0.5).problem == "content collapsed"


def test_a_warning_acts_on_nothing() -> None:
    watch = guard("warn", controlled=False)
    seen = {**HEALTHY, "style": 0.0}
    verdicts = [watch.judge(seen, 0.3 + number / 10) for number in range(3)]
    assert all(one.problem and one.remedy is None for one in verdicts)
    assert guard("off").judge(seen, 0.5).problem is None
