"""Speed and memory curves of the kernel benchmark as PNG files."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row

# A curve needs two points.
POINTS = 2


def available() -> bool:
    """Whether matplotlib is installed; a bare GPU machine may lack it."""
    return importlib.util.find_spec("matplotlib") is not None


def curves(rows: Sequence[Row], metric: str) -> dict[tuple[str, str], dict[str, list[Any]]]:
    """Points (x, value) by panel, which is a curve's name and a mode, and by provider.

    Args:
        rows: of one operation.
        metric: "speed" in microseconds a call, or "memory" in MB beyond the inputs.
    """
    panels: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for row in rows:
        if row["status"] != "ok" or (metric == "memory" and "peak_bytes" not in row):
            continue
        value = row["seconds"]["y_50"] * 1e6 if metric == "speed" else row["peak_bytes"] / 1e6
        panel = panels.setdefault((row["curve"], row["mode"]), {})
        panel.setdefault(row["provider"], []).append((row["x_value"], value))
    for panel in panels.values():
        for points in panel.values():
            points.sort()
    return {
        name: panel
        for name, panel in panels.items()
        if len({x for points in panel.values() for x, _ in points}) >= POINTS
    }


def write_plots(folder: Path, rows: Sequence[Row], device: str) -> list[Path]:
    """One file for each operation and metric that has a curve, `kernels_OP_METRIC.png`; returns their paths.

    Args:
        folder: where.
        rows: of all operations.
        device: named in the title.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    written = []
    for op in dict.fromkeys(row["op"] for row in rows):
        mine = [row for row in rows if row["op"] == op]
        for metric, unit in (("speed", "us a call"), ("memory", "MB beyond the inputs")):
            panels = curves(mine, metric)
            if not panels:
                continue
            figure, axes = pyplot.subplots(
                len(panels), 1, figsize=(8, 4.2 * len(panels)), squeeze=False
            )
            for axis, ((curve, mode), panel) in zip(axes[:, 0], panels.items(), strict=True):
                for provider, points in panel.items():
                    ours = provider.startswith("seqvae")
                    axis.plot(
                        *zip(*points, strict=True),
                        marker="o",
                        markersize=3,
                        linewidth=2.5 if ours else 1,
                        linestyle="-" if ours else "--",
                        label=provider,
                    )
                axis.set_xscale("log", base=2)
                # Nothing allocated is 0, which a logarithm cannot show.
                axis.set_yscale("log" if metric == "speed" else "symlog")
                axis.set_title(f"{op} {curve}, {mode}", fontsize=10)
                axis.set_xlabel(mine[0]["x_name"])
                axis.set_ylabel(unit)
                axis.grid(True, which="both", alpha=0.2)
                axis.legend(fontsize=7)
            figure.suptitle(device, fontsize=9)
            figure.tight_layout()
            path = folder / f"kernels_{op}_{metric}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110)
            pyplot.close(figure)
            written.append(path)
    return written
