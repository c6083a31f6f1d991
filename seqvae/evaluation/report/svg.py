"""matplotlib figures as inline SVG that follows the page's colours, light or dark."""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from seqvae.evaluation.report.html import Html, element, safe

UNITS = 72  # of the drawing, to matplotlib's inch
WIDTH = 480

# matplotlib must be given colours; these stand for the page's variables and never reach the page.
INK = {
    name: f"#fe01{index:02x}"
    for index, name in enumerate(
        [
            *("ink", "soft", "faint", "line", "blue", "orange", "green", "violet"),
            *(f"class{i}" for i in range(8)),
            *(f"step{i}" for i in range(4)),
        ]
    )
}
# Any: the names of the settings are typed otherwise in each version of matplotlib.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "seqvae",
    "font.size": 12,
    "axes.edgecolor": INK["line"],
    "axes.labelcolor": INK["soft"],
    "xtick.color": INK["line"],
    "ytick.color": INK["line"],
    "xtick.labelcolor": INK["soft"],
    "ytick.labelcolor": INK["soft"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK["line"],
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "text.parse_math": False,
}


def style() -> AbstractContextManager[None]:
    """The look of all drawings, for as long as the context lasts."""
    return mpl.rc_context(_STYLE)


def new_figure(height: int = 270) -> Figure:
    """An empty drawing of the page's width; `height` in the same units."""
    return Figure(figsize=(WIDTH / UNITS, height / UNITS), layout="constrained")


def inline(figure: Figure, name: str, words: str, tips: Sequence[str] | None = None) -> Html:
    """The drawing as an `<svg>` element.

    Args:
        figure: made within `style`.
        name: prefix of the ids in it, unique on the page.
        words: what a reader who cannot see it should know.
        tips: of each point drawn by `scatter`, in drawing order, shown when pointed at.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawing = file.getvalue()
    body = drawing[drawing.index(">", drawing.index("<svg")) + 1 : drawing.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # matplotlib's style sheet would speak to the whole page.
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"\n\s*", " ", body)
    for variable, colour in INK.items():
        body = body.replace(colour, f"var(--{variable})")
    if tips is not None:
        body = _with_tips(body, tips)
    box = f"0 0 {figure.get_figwidth() * UNITS:g} {figure.get_figheight() * UNITS:g}"
    return element("svg", Html(body), viewBox=box, role="img", aria_label=words)


def _with_tips(body: str, tips: Sequence[str]) -> str:
    """Give each point of the groups called `...points...` its tip."""
    left = iter(tips)

    def point(found: re.Match[str]) -> str:
        return f"{found[1]}><title>{safe(next(left))}</title></use>"

    def group(found: re.Match[str]) -> str:
        return re.sub(r"(<use [^>]*?)/>", point, found[0])

    return re.sub(r'<g id="[\w-]*points.*?</g>', group, body, flags=re.DOTALL)
