"""Which parts of bar 3 of issue B the rows of a GPU meet. Bar 2, the CPU's, is measured by `benchmarks.gaussian_cpu`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Row
from benchmarks.tables import fastest, is_red, seconds

SDPA = ("sdpa", "sdpa-flash", "sdpa-efficient", "sdpa-cudnn", "sdpa-math")
# More than this many cases are too long for a line.
MOST_FIGURES = 6
Chosen = Callable[[Row], bool]
Figure = Callable[[Row, Sequence[Row]], float | None]


@dataclass(frozen=True)
class Part:
    """A part of a bar: a figure of ours that must reach a target in every case that it speaks of.

    Attributes:
        bar: number in the issue.
        what: in words.
        target: what the figure must reach.
        op: operation.
        chosen: which of our rows it speaks of.
        figure: of one of our rows among all rows of its case and mode; None if a rival was not measured.
        unit: "x", "%" or "tensors".
    """

    bar: str
    what: str
    target: float
    op: str
    chosen: Chosen
    figure: Figure
    unit: str = "x"

    @property
    def wanted(self) -> str:
        """The target in words."""
        if self.unit == "tensors":
            return "0 tensors"
        return f">= {self.target:.0%}" if self.unit == "%" else f">= {self.target:g} x"

    def met(self, figure: float) -> bool:
        """Whether a figure reaches the target: tensors are to be few, everything else much."""
        return figure <= self.target if self.unit == "tensors" else figure >= self.target

    def said(self, figures: dict[str, float]) -> str:
        """The figures in words, by case; of many only the worst."""

        def one(name: str) -> str:
            value = figures[name]
            number = {"%": f"{value:.0%}", "tensors": f"{value:.0f}"}.get(
                self.unit, f"{value:.2f} x"
            )
            return f"{name}: {number}"

        if len(figures) <= MOST_FIGURES:
            return "; ".join(map(one, figures))
        pick = max if self.unit == "tensors" else min
        worst = pick(figures, key=lambda name: figures[name])
        return f"worst of {len(figures)}: {one(worst)}"


def against(*providers: str) -> Figure:
    """How often ours is as fast as the fastest of these."""

    def figure(row: Row, group: Sequence[Row]) -> float | None:
        mine = seconds(row)
        rival = fastest(r for r in group if r["provider"] in providers)
        return None if mine is None or rival is None else rival["seconds"]["y_50"] / mine

    return figure


def share(row: Row, group: Sequence[Row]) -> float | None:
    """Of the roofline; None where everything fitted into a cache."""
    del group
    found = row.get("roofline_share")
    return None if found is None else float(found)


def saved(row: Row, group: Sequence[Row]) -> float | None:
    """Tensors kept for backward beyond inputs and outputs."""
    del group
    return float(row["saved_tensors"])


def latent(dtype: str, mode: str, elements: int = 1 << 22) -> Chosen:
    """Rows of K1 per row of the batch, statistics apart, one sample, at this size and above."""

    def chosen(row: Row) -> bool:
        plain = row["switches"] == {"reduce": "rows", "packed": False} and row["sizes"]["S"] == 1
        asked = row["dtype"] == dtype and row["mode"] == mode
        return plain and asked and bool(row["x_value"] >= elements)

    return chosen


def sentence(mode: str, *steps: int) -> Chosen:
    """Rows of K2 for causal attention over that many steps, heads of 64."""

    def chosen(row: Row) -> bool:
        usual = row["switches"]["view"] == "causal" and row["sizes"]["D"] == 64
        return bool(usual) and row["mode"] == mode and row["sizes"]["S"] in steps

    return chosen


def decode(batches: Iterable[int]) -> Chosen:
    """Rows of K3 with a cache of 1024 steps."""
    wanted = set(batches)
    return lambda row: row["sizes"]["C"] == 1024 and row["sizes"]["B"] in wanted


K1, K2, K3 = "gaussian_latent", "prefix_attention", "decode_attention"
GPU = (
    Part(
        "3", "K1 forward bf16 against eager", 8.0, K1, latent("bf16", "forward"), against("eager")
    ),
    Part(
        "3",
        "K1 forward bf16 against torch.compile",
        2.5,
        K1,
        latent("bf16", "forward"),
        against("compile", "compile-max-autotune"),
    ),
    Part(
        "3",
        "K1 forward bf16, share of copy bandwidth",
        0.8,
        K1,
        latent("bf16", "forward"),
        share,
        "%",
    ),
    Part(
        "3",
        "K1 forward and backward bf16 against torch.compile",
        1.6,
        K1,
        latent("bf16", "both"),
        against("compile", "compile-max-autotune"),
    ),
    Part(
        "3",
        "K1 forward and backward fp32 against torch.compile",
        1.2,
        K1,
        latent("fp32", "both"),
        against("compile", "compile-max-autotune"),
    ),
    # Per dimension the clamp's outcome is kept, a number a dimension; see `benchmarks.traffic`.
    Part(
        "3",
        "K1 tensors saved beyond the inputs, KL per row",
        0,
        K1,
        lambda row: row["mode"] == "both" and row["switches"]["reduce"] == "rows",
        saved,
        "tensors",
    ),
    Part(
        "3",
        "K2 forward, 32 steps, against the best SDPA",
        1.5,
        K2,
        sentence("forward", 32),
        against(*SDPA),
    ),
    Part(
        "3",
        "K2 forward, 64 steps, against the best SDPA",
        1.0,
        K2,
        sentence("forward", 64),
        against(*SDPA),
    ),
    Part(
        "3",
        "K2 backward, 32 and 64 steps, against the best SDPA",
        2.0,
        K2,
        sentence("backward", 32, 64),
        against(*SDPA),
    ),
    Part(
        "3",
        "K2 backward, 128 steps, against the best SDPA",
        1.3,
        K2,
        sentence("backward", 128),
        against(*SDPA),
    ),
    Part("3", "K2 anywhere against the best SDPA", 0.9, K2, lambda row: True, against(*SDPA)),
    Part("3", "K3 step, batch <= 8, against eager", 3.0, K3, decode((1, 8)), against("eager")),
    Part(
        "3",
        "K3 step, batch <= 8, against SDPA and FlexAttention in a graph",
        1.5,
        K3,
        decode((1, 8)),
        against(*SDPA, "eager", "flex"),
    ),
    Part(
        "3",
        "K3 step, batch >= 64, share of copy bandwidth",
        0.75,
        K3,
        decode((64, 256)),
        share,
        "%",
    ),
)


def outcomes(parts: Iterable[Part], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Ledger rows, without their result file, of the parts that were measured; the worst case decides.

    A part with a wrong or failed row of ours is not met. One whose rows or rivals are missing is left out.
    """
    found = []
    for part in parts:
        mine = [r for r in rows if r["op"] == part.op and r["provider"] == "seqvae"]
        mine = [r for r in mine if part.chosen(r)]
        red = [r for r in mine if is_red(r)]
        figures: dict[str, float] = {}
        for row in mine:
            group = [r for r in rows if all(r[k] == row[k] for k in ("op", "case", "mode"))]
            figure = part.figure(row, group) if row["status"] == "ok" else None
            if figure is not None:
                figures[f"{row['case']} {row['mode']}"] = figure
        if red:
            said = "; ".join(f"{r['case']} {r['mode']}: {r['status']}" for r in red)
            met = False
        elif figures:
            said, met = part.said(figures), all(part.met(value) for value in figures.values())
        else:
            continue
        found.append(
            {"bar": part.bar, "what": part.what, "target": part.wanted, "figure": said, "met": met}
        )
    return found
