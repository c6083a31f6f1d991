"""The speech cells' results as tables, a curve over rates, and rows of the ledger."""

import json
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, ledger, write_result
from seqvae.evaluation.referees.summary import table
from seqvae.preset_speech import speech_preset

FOLDER = "speech"
# Bar 1: what is measured, how it is compared, with what.
BAR = (
    ("wer", "<=", 0.15, "{:.1%}"),
    ("similarity", ">=", 0.80, "{:.3f}"),
    ("as_target", ">=", 0.98, "{:.1%}"),
    ("mcd", "<=", 6.0, "{:.2f} dB"),
    ("ovrl", ">=", 2.6, "{:.2f}"),
)
CPU_SECONDS = 2 * 3600
COLUMNS = (
    *("wer", "cer", "similarity", "source_similarity", "gap_closed", "as_target"),
    *("mcd", "log_f0_error", "ovrl", "sig", "bak"),
)
CONTROLS = ("natural", "unconverted", "copy synthesis")


def write_tables() -> None:
    """Write benchmarks/results/speech/table.md, the curves and the ledger's rows from all results there are."""
    root = RESULTS / FOLDER
    lines = [
        "# Voice conversion on held-out recordings",
        "",
        "Written by `python -m benchmarks.speech table`. WER, CER: Whisper tiny.en; to target, to source: Resemblyzer; MCD: 40 mel",
        "bands, DCT 1-13, aligned, against the target's own recording; DNSMOS P.835. Every cell has the same data, vocoder and judges.",
    ]
    for corpus in sorted(path for path in root.iterdir() if path.is_dir()):
        rows = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(corpus.glob("*-s*.json"))
        ]
        rows = [row for row in rows if row["report"].get("groups")]
        if not rows:
            continue
        best = next((row for row in rows if row["cell"] == "default"), rows[0])
        shown = {name: best["report"]["groups"][name] for name in CONTROLS}
        shown |= {_title(row): row["report"]["groups"]["conversion"] for row in rows}
        lines += ["", f"## {corpus.name}", "", table(shown, COLUMNS)]
        lines += [
            "",
            f"{best['cell']}, by source > target:",
            "",
            table(best["report"]["pairs"], COLUMNS),
        ]
        lines += ["", *_costs(rows)]
        bars = [bar for row in rows if _is_full(row) for bar in _bars(row)]
        ledger("D", bars, instead_of=corpus)
        _curve(corpus, rows)
    (root / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _is_full(row: dict[str, Any]) -> bool:
    """Whether it is the default as it is trained by default: the runs of an ablation are shorter."""
    steps = row.get("experiment", {}).get("training", {}).get("steps")
    return row["cell"] == "default" and steps in (None, speech_preset().training.steps)


def _title(row: dict[str, Any]) -> str:
    return f"conversion, {row['cell']}" + (f" (seed {row['seed']})" if row["seed"] else "")


def _costs(rows: list[dict[str, Any]]) -> list[str]:
    """What the cells cost and carry, as Markdown."""
    lines = [
        "| cell | bit/s | style nats | leak | L1 | -ELBO a frame | CPU minutes | vocoder | parameters |"
    ]
    lines.append("|" + "---|" * 9)
    for row in rows:
        report, spent = row["report"], row["train_cpu_seconds"]
        cells = [
            f"{row['cell']}-s{row['seed']}",
            f"{report['bit_rate']:.0f}",
            f"{report['style']:.1f}" if "style" in report else "",
            f"{report['leak']:.1%}" if "leak" in report else "",
            f"{report['l1']:.3f}",
            f"{report['elbo_frame']:.2f}",
            "" if spent is None else f"{spent / 60:.0f}",
            row["vocoder"],
            f"{row['parameters']:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _bars(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Bar 1 for a run of the default: each of its figures, pooled and in the worse direction, and the time."""
    report, corpus = row["report"], row["corpus"]
    shared = {
        "bar": "1",
        "command": row["command"],
        "measured_on": row["measured_on"],
        "result_file": RESULTS / FOLDER / corpus / f"{row['cell']}-s{row['seed']}.json",
    }
    found = []
    for name, sign, target, form in BAR:
        pooled = report["groups"]["conversion"].get(name)
        if pooled is None:
            continue
        directions = {
            pair: values[name] for pair, values in report["pairs"].items() if name in values
        }
        worse = max if sign == "<=" else min
        worst = worse([pooled, *directions.values()])
        figure = f"{form.format(pooled)} ({', '.join(f'{p} {form.format(v)}' for p, v in directions.items())})"
        found.append(
            {
                "what": f"conversion on {corpus}: {name}, seed {row['seed']}",
                "target": f"{sign} {form.format(target)} in both directions",
                "figure": f"{figure}, {report['groups']['conversion']['items']} conversions",
                "met": worst <= target if sign == "<=" else worst >= target,
            }
        )
    parts = [row["train_cpu_seconds"], row["vocoder_cpu_seconds"]]
    if all(part is not None for part in parts):
        model, vocoder = parts
        found.append(
            {
                "what": f"conversion on {corpus}: training time, seed {row['seed']}",
                "target": "<= 2 CPU-hours",
                "figure": f"{model / 3600:.2f} CPU-hours and {vocoder / 3600:.2f} of the vocoder",
                "met": model + vocoder <= CPU_SECONDS,
            }
        )
    return [shared | row for row in found]


def _curve(corpus: Path, rows: list[dict[str, Any]]) -> None:
    """Similarity to target and source, and words, over the content's rate: a figure and its numbers."""
    rated = [r for r in rows if r["cell"].startswith("rate") or r["cell"] == "default"]
    points = sorted(
        (
            {
                "cell": r["cell"],
                "seed": r["seed"],
                "bit_rate": r["report"]["bit_rate"],
                **{n: r["report"]["groups"]["conversion"].get(n) for n in COLUMNS},
            }
            for r in rated
        ),
        key=lambda point: point["bit_rate"],
    )
    if len(points) < 2:
        return
    controls = {name: rated[0]["report"]["groups"][name] for name in CONTROLS}
    write_result(f"{FOLDER}/{corpus.name}/rate_curve", {"points": points, "controls": controls})
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rates = [point["bit_rate"] for point in points]
    figure, (upper, lower) = pyplot.subplots(
        2, 1, figsize=(6, 6), sharex=True, layout="constrained"
    )
    upper.plot(rates, [point["similarity"] for point in points], "o-", label="to the target")
    upper.plot(rates, [point["source_similarity"] for point in points], "s:", label="to the source")
    lower.plot(rates, [100 * point["wer"] for point in points], "o-", label="conversion")
    for group, style in (("natural", "--"), ("unconverted", ":")):
        upper.axhline(controls[group]["similarity"], color="0.5", ls=style, label=group)
    for group, style in (("natural", "--"), ("copy synthesis", ":")):
        lower.axhline(100 * controls[group]["wer"], color="0.5", ls=style, label=group)
    upper.set(ylabel="similarity (Resemblyzer)", title=f"{corpus.name}: rate, likeness, words")
    lower.set(xlabel="content, bit/s", ylabel="word errors, % (Whisper)", ylim=(0, None))
    upper.legend()
    lower.legend()
    figure.savefig(corpus / "rate_curve.png", dpi=120)
    pyplot.close(figure)
