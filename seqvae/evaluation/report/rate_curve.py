"""Rate against likeness and words: runs of one corpus that were evaluated, side by side."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from seqvae.evaluation.report import svg
from seqvae.evaluation.report.html import Html, figure, swatches
from seqvae.evaluation.report.record import Row, number
from seqvae.evaluation.report.svg import INK

# A folder of runs may hold anything; this many of them are looked at.
MOST_RUNS = 200
_LARGEST = 16 << 20


@dataclass(frozen=True)
class Point:
    """An evaluated run.

    Attributes:
        name: of its folder.
        rate: bit/s of its content.
        similarity: of its conversions to the target.
        wer: their word error rate, in [0, 1].
    """

    name: str
    rate: float
    similarity: float
    wer: float


def points_beside(run: Path, fingerprint: object, split: str) -> list[Point]:
    """The evaluated speech runs of one corpus in the folder that `run` lies in, itself among them, by rate.

    Args:
        run: a run's folder.
        fingerprint: of the corpus.
        split: that was evaluated.
    """
    found = []
    folders = sorted(path for path in run.resolve().parent.iterdir() if path.is_dir())
    for folder in folders[:MOST_RUNS]:
        facts = _object(folder / "config.json")
        if facts.get("data_fingerprint") == fingerprint:
            point = _point(folder.name, _object(folder / f"evaluation-{split}.json"))
            found += [] if point is None else [point]
    return sorted(found, key=lambda point: point.rate)


def rate_curve(points: Sequence[Point], groups: Row, here: str) -> Html | None:
    """Similarity to the target above, word errors below, over the content's bit/s; None without a point.

    Args:
        points: evaluated runs.
        groups: the evaluation's rows, of which natural and unconverted recordings are drawn as lines.
        here: name of the run that the page is about.
    """
    if not points:
        return None
    rates = [point.rate for point in points]
    with svg.style():
        drawing = svg.new_figure(360)
        upper, lower = drawing.subplots(2, 1, sharex=True)
        for axes, name, values, unit in (
            (upper, "similarity", [p.similarity for p in points], "to the target"),
            (lower, "wer", [p.wer for p in points], "word errors"),
        ):
            for group, colour in (("natural", "green"), ("unconverted", "violet")):
                level = number(groups.get(group, {}).get(name))
                if level is not None and (group, name) != ("unconverted", "wer"):
                    axes.axhline(level, color=INK[colour], linestyle=(0, (5, 3)), linewidth=1.4)
            axes.plot(rates, values, color=INK["blue"], marker="o", markersize=4.5)
            mine = [i for i, point in enumerate(points) if point.name == here]
            axes.plot(
                [rates[i] for i in mine],
                [values[i] for i in mine],
                "o",
                color=INK["orange"],
                markersize=8,
            )
            axes.set_ylabel(unit)
            axes.yaxis.set_major_locator(MaxNLocator(5))
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        lower.set_ylim(bottom=0)
        lower.set_xlabel("bit/s of content")
        told = "; ".join(
            f"{p.name}: {p.rate:.0f} bit/s, similarity {p.similarity:.2f}, word errors {p.wer:.0%}"
            for p in points
        )
        content = svg.inline(drawing, "ratecurve", told)
    legend = [
        ("●", "blue", "evaluated runs of this corpus"),
        ("●", "orange", "this run"),
        ("╌", "green", "the target's own recordings"),
        ("╌", "violet", "unconverted"),
    ]
    return figure(
        "Runs of this corpus",
        content,
        "The dial: with more bits a second of content the words come through and the source's voice with "
        "them; with fewer the voice is the target's and the words blur. Runs beside this one's folder on the "
        "same corpus are drawn too, once they are evaluated.",
        swatches(legend),
    )


def _point(name: str, evaluation: Row) -> Point | None:
    groups = evaluation.get("groups")
    row: Any = groups.get("conversion") if isinstance(groups, dict) else None
    if not isinstance(row, dict):
        return None
    values = [
        number(v) for v in (evaluation.get("bit_rate"), row.get("similarity"), row.get("wer"))
    ]
    rate, similarity, wer = values
    if rate is None or similarity is None or wer is None:
        return None
    return Point(name, rate, similarity, wer)


def _object(path: Path) -> Row:
    """A JSON object, or an empty one for a file that is none: another run's damage is not this run's."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
