"""Answers about items -> a row for each group."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What is a mean over items, and how it is shown: heading and format.
MEANS = {
    "similarity": ("to target", "{:.3f}"),
    "source_similarity": ("to source", "{:.3f}"),
    "gap_closed": ("gap closed", "{:.0%}"),
    "as_target": ("identified", "{:.1%}"),
    "mcd": ("MCD dB", "{:.2f}"),
    "log_f0_error": ("ln F0 error", "{:.3f}"),
    "log_f0_bias": ("ln F0 bias", "{:+.3f}"),
    "f0_rmse": ("F0 RMSE Hz", "{:.1f}"),
    "f0_rmse_semitones": ("F0 RMSE st", "{:.2f}"),
    "ovrl": ("DNSMOS", "{:.2f}"),
    "sig": ("SIG", "{:.2f}"),
    "bak": ("BAK", "{:.2f}"),
    "si_sdr": ("SI-SDR dB", "{:.1f}"),
    "stoi": ("STOI", "{:.3f}"),
    "pesq": ("PESQ", "{:.2f}"),
}
RATES = {"wer": ("WER", "{:.1%}"), "cer": ("CER", "{:.1%}")}
SHOWN = RATES | MEANS
Answer = Mapping[str, Any]


def groups(answers: Iterable[Answer]) -> dict[str, dict[str, Any]]:
    """A row for each group: `items`, `errors` (by referee), means, and standard errors as `NAME_se`.

    WER and CER are errors over all words of the group, their standard errors those of a ratio.
    """
    members: dict[str, list[Answer]] = {}
    for answer in answers:
        members.setdefault(answer["item"]["group"], []).append(answer)
    return {name: _row(found) for name, found in members.items()}


def table(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """The rows as Markdown; columns are those that any row has unless given."""
    chosen = [c for c in columns or SHOWN if any(c in row for row in rows.values())]
    lines = ["| | " + " | ".join(SHOWN[c][0] for c in chosen) + " | items |"]
    lines.append("|---" * (len(chosen) + 2) + "|")
    for name, row in rows.items():
        cells = [SHOWN[c][1].format(row[c]) if c in row else "" for c in chosen]
        failed = sum(row["errors"].values())
        count = f"{row['items']}" + (f" ({failed} failed)" if failed else "")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {count} |")
    return "\n".join(lines)


def _row(answers: Sequence[Answer]) -> dict[str, Any]:
    row: dict[str, Any] = {"items": len(answers), "errors": {}}
    for answer in answers:
        for referee in answer["errors"]:
            row["errors"][referee] = row["errors"].get(referee, 0) + 1
    values = [answer["values"] for answer in answers]
    for name in MEANS:
        numbers = [v[name] for v in values if name in v]
        if numbers:
            row[name] = math.fsum(numbers) / len(numbers)
            if len(numbers) > 1:
                spread = math.fsum((x - row[name]) ** 2 for x in numbers) / (len(numbers) - 1)
                row[f"{name}_se"] = math.sqrt(spread / len(numbers))
    for rate, unit, errors in (
        ("wer", "words", "word_errors"),
        ("cer", "characters", "character_errors"),
    ):
        pairs = [(v[errors], v[unit]) for v in values if unit in v]
        if pairs:
            _ratio(row, rate, pairs)
            row[unit] = sum(size for _, size in pairs)
    return row


def _ratio(row: dict[str, Any], name: str, pairs: Sequence[tuple[int, int]]) -> None:
    total = sum(size for _, size in pairs)
    row[name] = sum(wrong for wrong, _ in pairs) / total
    if len(pairs) > 1:
        square = sum((wrong - row[name] * size) ** 2 for wrong, size in pairs)
        row[f"{name}_se"] = math.sqrt(square * len(pairs) / (len(pairs) - 1)) / total
