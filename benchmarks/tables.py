"""Rows of the kernel benchmark as ratios, as a table to read, and as the CSV that Liger-Kernel's tools read."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row

COLUMNS = (
    "kernel_name",
    "provider",
    "mode",
    "metric",
    "unit",
    "x_name",
    "x_value",
    "y_50",
    "y_20",
    "y_80",
    "extra_config_json",
    "device",
    "timestamp",
    "version",
)
# What makes the exit code 1: a wrong result, a figure that cannot be, and an error of ours (a rival may lack a case).
RED = ("wrong", "impossible")
HEADER = (
    "provider",
    "mode",
    "us",
    "20-80 %",
    "host us",
    "GB/s",
    "TFLOP/s",
    "roof",
    "kernels",
    "peak MB",
    "saved MB",
    "x eager",
    "x compile",
    "x best rival",
)


def key(row: Row) -> tuple[str, str, str]:
    """Rows with the same key computed the same."""
    return row["op"], row["case"], row["mode"]


def seconds(row: Row) -> float | None:
    """Median seconds a call; None unless the row is right and possible."""
    return float(row["seconds"]["y_50"]) if row["status"] == "ok" else None


def fastest(rows: Iterable[Row]) -> Row | None:
    """The fastest row that is right; None if there is none."""
    timed = [row for row in rows if seconds(row) is not None]
    return min(timed, key=lambda row: row["seconds"]["y_50"], default=None)


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """The rows, each with how often it is as fast as eager, compile and the best of the others that count.

    Nothing is said about a row that is wrong, nor in comparison with one.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    found = []
    for row in rows:
        mine = seconds(row)
        ratios: dict[str, Any] = {}
        if mine is not None:
            group = groups[key(row)]
            for name in ("eager", "compile"):
                one = fastest(r for r in group if r["provider"] == name)
                if one is not None:
                    ratios[name] = one["seconds"]["y_50"] / mine
            rival = fastest(r for r in group if r["compared"] and not r["ours"])
            if rival is not None:
                ratios["best_rival"] = rival["seconds"]["y_50"] / mine
                ratios["best_rival_name"] = rival["provider"]
        found.append({**row, "ratios": ratios})
    return found


def is_red(row: Row) -> bool:
    """Whether the row makes the run fail."""
    return row["status"] in RED or (row["ours"] and row["status"] == "failed")


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def cells(row: Row) -> tuple[str, ...]:
    """A timed row as text, under HEADER."""
    ratios, timed = row.get("ratios", {}), row["seconds"]
    host, launches = row.get("host_seconds"), row.get("launches")
    peak, saved = row.get("peak_bytes"), row.get("saved_bytes")
    share = row.get("roofline_share")
    rival = _number(ratios.get("best_rival"), 2)
    if rival and row["ours"]:
        rival += f" {ratios['best_rival_name']}"
    return (
        row["provider"],
        row["mode"],
        _number(timed["y_50"] * 1e6),
        f"{timed['y_20'] * 1e6:,.1f}-{timed['y_80'] * 1e6:,.1f}",
        _number(None if host is None else host * 1e6),
        _number(row["gigabytes_per_second"]),
        _number(row.get("teraflops_per_second"), 2),
        "" if share is None else f"{share:.0%}",
        "" if launches is None else f"{launches:g}",
        _number(None if peak is None else peak / 1e6),
        _number(None if saved is None else saved / 1e6),
        _number(ratios.get("eager"), 2),
        _number(ratios.get("compile"), 2),
        rival,
    )


def aligned(table: Sequence[tuple[str, ...]], left: int) -> list[str]:
    """A table as lines: columns that are empty below the header left out, the first `left` flush left."""
    used = [column for column in range(len(table[0])) if any(line[column] for line in table[1:])]
    widths = {column: max(len(line[column]) for line in table) for column in used}
    return [
        "  ".join(
            line[column].ljust(widths[column])
            if column < left
            else line[column].rjust(widths[column])
            for column in used
        ).rstrip()
        for line in table
    ]


def lines(rows: Sequence[Row]) -> list[str]:
    """The table, a block per case; what was not timed is named with its reason under the block."""
    found: list[str] = []
    rows = with_ratios(rows)
    for op, case in dict.fromkeys((row["op"], row["case"]) for row in rows):
        block = [row for row in rows if (row["op"], row["case"]) == (op, case)]
        timed = [HEADER] + [cells(row) for row in block if row["status"] == "ok"]
        found += ["", f"{op}  {case}"]
        if len(timed) > 1:
            found += aligned(timed, 2)
        found += [f"  {note}" for note in notes(block)]
    return found


def notes(rows: Sequence[Row]) -> list[str]:
    """Providers that were not timed and why, those with the same reason together."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row["status"] != "ok":
            status = row["status"].upper() if is_red(row) else row["status"]
            reasons.setdefault((status, row["reason"]), {})[row["provider"]] = None
    return [
        f"{status}: {reason}: {', '.join(providers)}"
        for (status, reason), providers in reasons.items()
    ]


def summary(rows: Sequence[Row]) -> list[str]:
    """One line a case and mode: our own choice of path against the others."""
    header = ("op", "case", "mode", "us", "roof", "x eager", "x compile", "x best rival")
    table = [header]
    for row in with_ratios(rows):
        if row["provider"] == "seqvae" and row["status"] == "ok":
            text = dict(zip(HEADER, cells(row), strict=True))
            table.append((row["op"], row["case"], *(text[name] for name in header[2:])))
    return aligned(table, 3) if len(table) > 1 else []


def write_csv(path: Path, rows: Sequence[Row], device: str, timestamp: str, version: str) -> None:
    """Liger-Kernel's columns (its `gpu_name` is `device` here): speed in ms, peak memory in MB; "full" is both."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            if row["status"] != "ok":
                continue
            extra = {"case": row["case"], "dtype": row["dtype"], **row["sizes"], **row["switches"]}
            figures = {"speed": ("ms", [row["seconds"][q] * 1e3 for q in ("y_50", "y_20", "y_80")])}
            if "peak_bytes" in row:
                figures["memory"] = ("MB", [row["peak_bytes"] / 1e6] * 3)
            for metric, (unit, values) in figures.items():
                writer.writerow(
                    [
                        row["op"],
                        row["provider"],
                        "full" if row["mode"] == "both" else row["mode"],
                        metric,
                        unit,
                        row["x_name"],
                        row["x_value"],
                        *[f"{value:.6g}" for value in values],
                        json.dumps(extra),
                        device,
                        timestamp,
                        version,
                    ]
                )
