"""Whether a latent carries information, in plain words and with the reasons."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seqvae.evaluation.report.record import number

Level = Literal["good", "fair", "bad", "none"]

# The thresholds of the collapse guard, below which it intervenes.
DEAD_NATS = 0.5
LEAST_PART = 0.25
# Of what is possible: above these, nothing is left to wish for.
GOOD_INFORMATION = 0.8
GOOD_USE = 0.5
GOOD_RATE = 0.1


@dataclass(frozen=True)
class Reason:
    """One thing that was looked at."""

    level: Level
    words: str


@dataclass(frozen=True)
class Verdict:
    """What to think of a run.

    Attributes:
        level: good, fair (information, with reservations), bad (none), or none (nothing to judge).
        headline: one sentence.
        reasons: what it rests on.
        advice: what to do about it, or nothing.
    """

    level: Level
    headline: str
    reasons: list[Reason]
    advice: str = ""


def judge(
    measured: Mapping[str, Any] | None,
    *,
    latent: bool = True,
    target: float | None = None,
    exact: tuple[int, int] | None = None,
    accuracy: float | None = None,
) -> Verdict:
    """Judge a run.

    Args:
        measured: kl, mi, mi_cap, prior_gap in nats, active_units, dimensions, of validation
            sentences; None before there is any.
        latent: whether the run has one.
        target: KL that was asked for, in nats.
        exact: of how many sentences how many came back exactly (count, of).
        accuracy: part of tokens that are the decoder's first choice.
    """
    if not latent:
        return Verdict(
            "none", "This run is a language model: it has no latent, so there is none to judge.", []
        )
    found = {
        name: number((measured or {}).get(name))
        for name in ("kl", "mi", "mi_cap", "prior_gap", "active_units", "dimensions")
    }
    values = {name: value for name, value in found.items() if value is not None}
    if len(values) < len(found):
        return Verdict(
            "none", "Nothing has been validated yet, so the latent cannot be judged yet.", []
        )
    most = min(values["kl"], values["mi_cap"])
    reasons = [
        _rate(values["kl"], target),
        _information(values["mi"], values["mi_cap"], most),
        _use(values["prior_gap"], most),
        _units(round(values["active_units"]), round(values["dimensions"])),
    ]
    if exact is not None and accuracy is not None:
        reasons.append(_reconstruction(exact, accuracy))
    return _conclude(values, most, reasons)


def _conclude(values: dict[str, float], most: float, reasons: list[Reason]) -> Verdict:
    kl, mi, gap = values["kl"], values["mi"], values["prior_gap"]
    if kl < DEAD_NATS:
        return Verdict(
            "bad",
            "This latent carries no information: it has collapsed, because its KL is "
            f"{kl:.2f} nats, as good as nothing.",
            reasons,
            "Train with the default objective, --rate 8 or the like: it holds the KL where you "
            "want it.",
        )
    if mi < LEAST_PART * most:
        return Verdict(
            "bad",
            f"This latent carries hardly any information: {kl:.1f} nats of KL are paid, but the "
            f"mutual information is only {mi:.2f}, because sentences get latents that look alike.",
            reasons,
            "Train longer first. If that does not help, prefer --rate to floors under the KL "
            "(free bits, batch norm), which can be met without telling sentences apart.",
        )
    if gap < LEAST_PART * most:
        return Verdict(
            "bad",
            "This latent tells sentences apart, but the decoder ignores it: sentences cost only "
            f"{gap:.2f} nats more with a latent that is not theirs.",
            reasons,
            "Try --model.word-dropout 0.3, or a higher --rate.",
        )
    weak = next((reason for reason in reasons if reason.level not in ("good", "none")), None)
    if weak is None:
        return Verdict(
            "good",
            f"This latent carries information: {_amount(kl)} a sentence, because sentences "
            "are told apart by it and the decoder uses what it says.",
            reasons,
        )
    return Verdict(
        "fair",
        f"This latent carries information, with a reservation: {weak.words[0].lower()}"
        f"{weak.words[1:]}",
        reasons,
        "Train longer: what is weak here often comes last."
        if weak is not reasons[0]
        else "Train longer, so that the rate settles where you asked for it.",
    )


def _amount(kl: float) -> str:
    return f"{kl:.1f} nats ({kl / math.log(2):.1f} bits)"


def _rate(kl: float, target: float | None) -> Reason:
    if kl < DEAD_NATS:
        return Reason("bad", f"The KL is {kl:.2f} nats: posteriors equal the prior.")
    if target is None:
        return Reason("good", f"The KL is {_amount(kl)} a sentence.")
    off = kl / target - 1
    words = f"The KL is {_amount(kl)} a sentence; {target:g} nats were asked for"
    if abs(off) <= GOOD_RATE:
        return Reason("good", f"{words}.")
    return Reason("fair", f"{words}: it is {abs(off):.0%} too {'high' if off > 0 else 'low'}.")


def _information(mi: float, cap: float, most: float) -> Reason:
    level: Level = "bad"
    if mi >= LEAST_PART * most:
        level = "good" if mi >= GOOD_INFORMATION * most else "fair"
    words = f"The mutual information is {mi:.2f} nats of {most:.2f} that are possible"
    if cap <= most:
        words += f" on {math.exp(min(cap, 60)):,.0f} sentences"
    if mi >= 0.95 * cap:
        words += " (at this cap: the true value may be greater)"
    tell = {
        "good": "sentences are told apart",
        "fair": "sentences are told apart in part",
        "bad": "sentences look alike",
    }
    return Reason(level, f"{words}: {tell[level]}.")


def _use(gap: float, most: float) -> Reason:
    level: Level = "bad"
    if gap >= LEAST_PART * most:
        level = "good" if gap >= GOOD_USE * most else "fair"
    tell = {
        "good": "the decoder uses the latent",
        "fair": "the decoder uses the latent in part",
        "bad": "the decoder ignores the latent",
    }
    return Reason(
        level, f"A latent that is not the sentence's own costs {gap:.1f} nats: {tell[level]}."
    )


def _units(active: int, dimensions: int) -> Reason:
    level: Level = "good" if 2 * active >= dimensions else "fair" if active else "bad"
    words = f"{active} of {dimensions} units are active"
    tail = "" if level == "good" else ": a smaller latent would do" if active else ": none is used"
    return Reason(level, f"{words}{tail}.")


def _reconstruction(exact: tuple[int, int], accuracy: float) -> Reason:
    count, total = exact
    # No reason for or against: at a low rate nobody expects a sentence back word for word.
    return Reason(
        "none",
        f"Written again from the latent alone, {count} of {total} sentences come back exactly; "
        f"{accuracy:.0%} of tokens are the decoder's first choice.",
    )
