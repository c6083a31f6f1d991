"""Whether a run converts voices, in plain words and with the reasons."""

from collections.abc import Mapping
from typing import Any

from seqvae.evaluation.report.record import number
from seqvae.evaluation.report.verdict import GOOD_RATE, Level, Reason, Verdict

# Shares of what separates the target's own recordings from the unconverted source.
GOOD_GAP, FAIR_GAP = 0.7, 0.35
GOOD_IDENTIFIED, FAIR_IDENTIFIED = 0.95, 0.7
# Word errors beyond those of the copy synthesis, which are the vocoder's and the referee's own.
GOOD_WORDS, FAIR_WORDS = 0.12, 0.35
# dB of mel-cepstral distortion taken off the unconverted recordings'.
GOOD_MCD, FAIR_MCD = 1.2, 0.4
# A probe that guesses speakers this far above chance, of the way to certainty, finds them in the content.
GOOD_LEAK, FAIR_LEAK = 0.35, 0.7
# Nats: a style that says less is not used.
DEAD_STYLE = 0.5

Row = Mapping[str, Any]


def judge(evaluation: Row | None, measured: Row | None, target: float | None) -> Verdict:
    """Judge a speech run.

    Args:
        evaluation: what `seqvae evaluate` wrote, or None.
        measured: the last validation of the training: bit_rate, style, leak, leak_chance; or None.
        target: bit/s of content that were asked for.
    """
    known = {**(measured or {}), **(evaluation or {})}
    groups = known.get("groups")
    rows: Mapping[str, Row] = groups if isinstance(groups, dict) else {}
    reasons = [
        reason
        for reason in (
            _voice(rows),
            _words(rows),
            _distance(rows),
            _leak(known),
            _rate(known, target),
            _style(known),
        )
        if reason is not None
    ]
    if not reasons:
        return Verdict(
            "none", "Nothing has been measured yet, so there is nothing to judge yet.", []
        )
    return _conclude(reasons, "conversion" in rows)


def _conclude(reasons: list[Reason], heard: bool) -> Verdict:
    worst = next((r for level in ("bad", "fair") for r in reasons if r.level == level), None)
    listen = (
        ""
        if heard
        else "Run `seqvae evaluate RUN`: it converts held-out recordings and judges them."
    )
    if worst is None:
        headline = (
            "This run converts voices: what it says is understood, in the voice that was asked for."
            if heard
            else "So far nothing speaks against this run; its conversions have not been judged."
        )
        return Verdict("good" if heard else "none", headline, reasons, listen)
    said = f"{worst.words[0].lower()}{worst.words[1:]}"
    if worst.level == "fair":
        return Verdict(
            "fair", f"This run converts voices, with a reservation: {said}", reasons, listen
        )
    return Verdict("bad", f"This run does not convert voices as it should: {said}", reasons, listen)


def _graded(value: float, good: float, fair: float) -> Level:
    """Of what is to be much; give both signs turned for what is to be little."""
    return "good" if value >= good else "fair" if value >= fair else "bad"


def _cell(rows: Mapping[str, Row], group: str, name: str) -> float | None:
    row = rows.get(group)
    return number(row.get(name)) if isinstance(row, dict) else None


def _voice(rows: Mapping[str, Row]) -> Reason | None:
    gap, taken = _cell(rows, "conversion", "gap_closed"), _cell(rows, "conversion", "as_target")
    similarity = _cell(rows, "conversion", "similarity")
    if gap is None or taken is None or similarity is None:
        return None
    levels: list[Level] = [
        _graded(gap, GOOD_GAP, FAIR_GAP),
        _graded(taken, GOOD_IDENTIFIED, FAIR_IDENTIFIED),
    ]
    level: Level = "bad" if "bad" in levels else "fair" if "fair" in levels else "good"
    return Reason(
        level,
        f"{taken:.0%} of the conversions are taken for the target; their likeness to it "
        f"({similarity:.2f}) goes {gap:.0%} of the way from the source to the target's own recordings.",
    )


def _words(rows: Mapping[str, Row]) -> Reason | None:
    wer = _cell(rows, "conversion", "wer")
    if wer is None:
        return None
    copied = _cell(rows, "copy synthesis", "wer") or 0.0
    level = _graded(copied - wer, -GOOD_WORDS, -FAIR_WORDS)
    natural = _cell(rows, "natural", "wer")
    beside = "" if natural is None else f", {natural:.0%} of the natural recordings'"
    return Reason(level, f"A recogniser gets {wer:.0%} of the conversions' words wrong{beside}.")


def _distance(rows: Mapping[str, Row]) -> Reason | None:
    before, after = _cell(rows, "unconverted", "mcd"), _cell(rows, "conversion", "mcd")
    if before is None or after is None:
        return None
    level = _graded(before - after, GOOD_MCD, FAIR_MCD)
    move = f"from {before:.2f} to {after:.2f} dB"
    tail = {"good": "much nearer", "fair": "somewhat nearer", "bad": "hardly nearer"}[level]
    return Reason(
        level,
        f"The spectral distance to the target's own recordings of the sentences goes {move}: {tail}.",
    )


def _leak(known: Row) -> Reason | None:
    leak, chance = number(known.get("leak")), number(known.get("leak_chance"))
    if leak is None or chance is None or not chance < 1:
        return None
    share = (leak - chance) / (1 - chance)
    level = _graded(-share, -GOOD_LEAK, -FAIR_LEAK)
    # Alone it decides nothing: a decoder may ignore what a probe finds.
    level = "fair" if level == "bad" else level
    tail = {"good": "it hardly knows", "fair": "it knows"}[level]
    return Reason(
        level,
        f"From the content a probe names the speaker in {leak:.0%} of cases (chance {chance:.0%}): "
        f"{tail} who speaks.",
    )


def _rate(known: Row, target: float | None) -> Reason | None:
    rate = number(known.get("bit_rate"))
    if rate is None:
        return None
    words = f"The content carries {rate:.0f} bit/s"
    if target is None:
        return Reason("none", f"{words}.")
    off = rate / target - 1
    words += f"; {target:g} were asked for"
    if abs(off) <= GOOD_RATE:
        return Reason("good", f"{words}.")
    return Reason("fair", f"{words}: it is {abs(off):.0%} too {'high' if off > 0 else 'low'}.")


def _style(known: Row) -> Reason | None:
    style = number(known.get("style"))
    if style is None:
        return None
    if style < DEAD_STYLE:
        return Reason(
            "bad",
            f"The style says {style:.2f} nats of an utterance: it has collapsed, there is no voice to swap.",
        )
    return Reason("good", f"The style says {style:.1f} nats of an utterance.")
