"""What the curves over a run's steps have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from seqvae.evaluation.report.record import Row, number
from seqvae.evaluation.report.svg import INK

Floats = np.ndarray[Any, np.dtype[np.float64]]
MOST_POINTS = 300
# The first steps cost many times the rest and would flatten everything after them.
_SETTLED = 0.05
_MANY = 20
Series = tuple[Floats, Floats]


def series(rows: Sequence[Row], value: Callable[[Row], float | None]) -> Series:
    """Steps and values where there is one, thinned to what a drawing can show."""
    pairs = [(float(row["step"]), v) for row in rows if (v := value(row)) is not None]
    steps, values = np.array(pairs, float).reshape(-1, 2).T
    if len(steps) > MOST_POINTS:
        # Means of neighbours: a thinned curve that skips points would show other noise.
        edges = np.linspace(0, len(steps), MOST_POINTS + 1).astype(int)[:-1]
        counts = np.diff(np.append(edges, len(steps)))
        return np.add.reduceat(steps, edges) / counts, np.add.reduceat(values, edges) / counts
    return steps, values


def named(rows: Sequence[Row], name: str) -> Series:
    """`series` of the value of that name."""
    return series(rows, lambda row: number(row.get(name)))


def total(row: Row, *names: str) -> float | None:
    """Sum of the values that are there, the first of which must be."""
    values = [number(row.get(name)) for name in names]
    return None if values[0] is None else sum(v for v in values if v is not None)


def line(
    axes: Axes,
    series: Series,
    colour: str,
    *,
    style: str = "-",
    marker: str = "",
    width: float = 1.8,
) -> None:
    """Draw a series; `colour` is a name of the page's."""
    steps, values = series
    # A single value is a point; many points are a line.
    shown = marker or ("o" if len(steps) == 1 else "")
    axes.plot(
        steps,
        values,
        color=INK[colour],
        linestyle=style,
        marker=shown if len(steps) <= 40 else "",
        markersize=4.5,
        linewidth=width,
    )


def label(axes: Axes, name: str) -> None:
    """Steps below, `name` at the side."""
    axes.set_xlabel("step")
    axes.set_ylabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def logarithmic(axes: Axes) -> None:
    """Powers of ten alone on the axis: there is room for two or three."""
    # A weight of zero (an annealing's start, an autoencoder phase) has no place on it.
    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_locator(LogLocator(10, numticks=4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def zoom(
    axes: Axes,
    all_series: Sequence[Series],
    *,
    also: float | None = None,
    floor: float | None = None,
) -> None:
    """Limits that show what the run came to: neither its wild beginning nor single outliers."""
    last = max((s[0][-1] for s in all_series if len(s[0])), default=0.0)
    kept: list[float] = []
    for steps, values in all_series:
        settled = values[steps >= _SETTLED * last]
        if len(settled) > _MANY:
            settled = np.quantile(settled, [0.05, 0.95])
        kept += settled.tolist()
    if also is not None:
        kept.append(also)
    if not kept:
        return
    low, high = min(kept), max(kept)
    if floor is not None:
        low = min(low, floor)
    margin = 0.06 * (high - low) or 0.5
    axes.set_ylim(low if low == floor else low - margin, high + margin)


def told(name: str, series: Series, where: str, unit: str = "nats") -> str:
    """A curve in words."""
    steps, values = series
    if not len(steps):
        return f"{name} over the steps of the run."
    place = f" {where}" if where else ""
    if len(steps) == 1:
        return f"{name}{place}: {values[0]:.2f} {unit} at step {steps[0]:.0f}."
    return (
        f"{name}{place}: {values[0]:.2f} {unit} at step {steps[0]:.0f}, "
        f"{values[-1]:.2f} at step {steps[-1]:.0f}."
    )
