"""The curves of a speech run."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import FuncFormatter

from seqvae.evaluation.report import curves, svg
from seqvae.evaluation.report.html import Html, figure, swatches
from seqvae.evaluation.report.record import RunRecord
from seqvae.evaluation.report.svg import INK


@dataclass(frozen=True)
class Curve:
    """A value that training and validation log under one name.

    Attributes:
        name: in metrics.jsonl; prefix of the ids in the drawing.
        title: of the figure.
        unit: of the values.
        explanation: how to read it.
        line: metric of which the last value is drawn as a line, and what it means.
        percent: whether values are parts of 1.
        floor: least value shown.
    """

    name: str
    title: str
    unit: str
    explanation: str
    line: tuple[str, str] | None = None
    percent: bool = False
    floor: float | None = 0.0


CURVES: Sequence[Curve] = (
    Curve(
        "bit_rate",
        "How much the content carries",
        "bit/s",
        "Bits a second that the content's latent says of the sound. The controller raises their price while "
        "there are too many and lowers it while there are too few.",
    ),
    Curve(
        "leak",
        "Whether the content knows who speaks",
        "",
        "How often a probe guesses the speaker from the content alone. Near chance, the voice must come from "
        "the style, and swapping the style converts it.",
        line=("leak_chance", "chance"),
        percent=True,
    ),
    Curve(
        "reconstruction_frame",
        "What a frame costs",
        "nats a frame",
        "Lower is better: frames as the model expects them, given content and style. Validation rising while "
        "training falls: train shorter, or on more recordings.",
        floor=None,
    ),
    Curve(
        "style",
        "How much the style says",
        "nats",
        "Nats of each recording's style. At zero it has collapsed, and there is no voice to swap.",
    ),
    Curve(
        "l1",
        "How far off the frames are",
        "nepers",
        "Mean absolute error of the log-mel bins; 0.1 neper is 0.9 dB.",
        floor=None,
    ),
)  # fmt: skip


def drawn(run: RunRecord, targets: dict[str, float]) -> list[Html]:
    """All curves that have something to show.

    Args:
        run: a speech run.
        targets: by a curve's name, what was asked for.
    """
    figures = (_drawn(run, curve, targets.get(curve.name)) for curve in CURVES)
    return [figure for figure in figures if figure is not None]


def _drawn(run: RunRecord, curve: Curve, target: float | None) -> Html | None:
    trained, valid = curves.named(run.train, curve.name), curves.named(run.valid, curve.name)
    if not (len(trained[0]) or len(valid[0])):
        return None
    legend = []
    with svg.style():
        drawing = svg.new_figure()
        axes = drawing.add_subplot()
        if len(trained[0]):
            curves.line(axes, trained, "soft", width=1.1)
            legend.append(("─", "soft", "training"))
        if len(valid[0]):
            curves.line(axes, valid, "blue", marker="o")
            legend.append(("●", "blue", "validation"))
        level, meaning = target, f"target, {target:g} {curve.unit}" if target is not None else ""
        if curve.line is not None:
            found = curves.named(run.valid, curve.line[0])
            level, meaning = (float(found[1][-1]), curve.line[1]) if len(found[0]) else (None, "")
        if level is not None:
            axes.axhline(level, color=INK["green"], linestyle=(0, (5, 3)), linewidth=1.4)
            legend.append(("╌", "green", meaning))
        curves.label(axes, curve.unit)
        curves.zoom(axes, [trained, valid], also=level, floor=curve.floor)
        if curve.percent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        words = curves.told(curve.title, valid if len(valid[0]) else trained, "", curve.unit)
        content = svg.inline(drawing, curve.name.replace("_", ""), words)
    return figure(curve.title, content, curve.explanation, swatches(legend))
