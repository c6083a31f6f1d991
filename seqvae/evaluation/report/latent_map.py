"""The map of the latent: sentences where their posterior means lie."""

from collections import Counter

import numpy as np

from seqvae.evaluation.report import svg
from seqvae.evaluation.report.examples import LatentMap
from seqvae.evaluation.report.html import Html, figure, swatches
from seqvae.evaluation.report.svg import INK

CLASSES = 8
"""Labels with a colour of their own; the rarer ones share grey."""
_SIGNS = [
    ("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"), ("*", "★"),
]  # fmt: skip
_LENGTH_GROUPS = 4


def latent_map(found: LatentMap, names: list[str]) -> Html:
    """The map, coloured by label where there are labels, else by length.

    Args:
        found: sentences and their places.
        names: of the labels.
    """
    groups = _by_label(found.labels, names) if found.labels is not None else _by_length(found)
    tips: list[str] = []
    with svg.style():
        drawing = svg.new_figure(380)
        axes = drawing.add_subplot()
        for number, (_, colour, marker, rows) in enumerate(groups):
            axes.scatter(
                found.points[rows, 0],
                found.points[rows, 1],
                s=26 if marker == "*" else 16,
                c=INK[colour],
                marker=marker,
                linewidths=0,
                gid=f"points-{number}",
            )
            tips += [found.texts[row] for row in rows]
        first, second = found.explained
        axes.set_xlabel(f"first axis ({first:.0%} of the variance)")
        axes.set_ylabel(f"second axis ({second:.0%})")
        what = "label" if found.labels is not None else "length"
        words = (
            f"Scatter plot of {len(found.texts)} validation sentences on the two main axes of "
            f"their posterior means, coloured by {what}."
        )
        content = svg.inline(drawing, "map", words, tips)
    signs = dict(_SIGNS)
    legend = swatches((signs[marker], colour, name) for name, colour, marker, _ in groups)
    return figure(
        f"Where {len(found.texts)} validation sentences lie",
        content,
        "Point at one to read it. The axes show "
        f"{first + second:.0%} of how the posterior means differ; the rest is in the other "
        "dimensions. " + _reading(found),
        legend,
    )


def _reading(found: LatentMap) -> str:
    if found.labels is not None:
        return "Labels that gather: the latent knows them without having been told."
    return "A map ordered by colour means that the latent spends itself on length."


def _by_label(labels: list[int], names: list[str]) -> list[tuple[str, str, str, list[int]]]:
    counts = Counter(labels)
    common = sorted(counts, key=lambda label: (-counts[label], label))[:CLASSES]
    groups = [
        (
            names[label] if 0 <= label < len(names) else f"label {label}",
            f"class{place}",
            _SIGNS[place][0],
            [row for row, other in enumerate(labels) if other == label],
        )
        for place, label in enumerate(common)
    ]
    rest = [row for row, label in enumerate(labels) if label not in common]
    if rest:
        others = len(counts) - len(common)
        groups.insert(0, (f"{others} other labels", "faint", "o", rest))
    return groups


def _by_length(found: LatentMap) -> list[tuple[str, str, str, list[int]]]:
    edges = np.unique(np.quantile(found.lengths, np.linspace(0, 1, _LENGTH_GROUPS + 1)[1:]))
    place = np.searchsorted(edges, found.lengths)
    groups = []
    for number in np.unique(place):
        rows = np.flatnonzero(place == number).tolist()
        low, high = (int(pick(found.lengths[rows])) for pick in (np.min, np.max))
        name = f"{low} tokens" if low == high else f"{low} to {high} tokens"
        groups.append((name, f"step{number}", "o", rows))
    return groups
