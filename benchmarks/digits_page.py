"""What the benchmark of digits found, as a page and as rows of the ledger."""

from collections.abc import Mapping
from typing import Any

from benchmarks.record import RESULTS

FOLDER = RESULTS / "digits"
STEPS = 1000
SAMPLES = 1000
UNSEEN = "9"
CLOSED = "linear-gaussian"
# Of the closed form: loadings of 3 factors on 6 frames of 2 numbers.
FACTORS, FRAMES, FEATURES = 3, 6, 2
# Nats by which a trained model may miss the closed form, whose 12 numbers cost 9.2.
CLOSE = 0.25


def page(
    found: Mapping[str, Mapping[str, Any]], exported: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """docs/digits.md.

    Args:
        found: results of cells, by name.
        exported: what `benchmarks.digits_exported` measured of some, by name.
    """
    pictures = {name: result for name, result in found.items() if "samples" in result}
    lines = [
        "# Digits as sequences of rows",
        "",
        (
            "Written by `python -m benchmarks.digits table` from `benchmarks/results/digits`; "
            "`python -m benchmarks.digits run` makes them."
        ),
        "",
        f"1797 digits of 8 x 8 pixels, a fifth of them held out; {STEPS} steps of the preset tiny, one seed. "
        "Sharpness is the energy of edges, diversity the mean distance between two pictures, nearest the "
        "distance to the nearest training digit, variety the entropy of the digits by their classes: each is 1 where "
        "written digits are as held-out real ones. Classes are those of a support vector classifier trained on the real "
        "training digits"
        + _of_referee(pictures)
        + ". Nats of different measures do not compare: see `seqvae.evaluation.frames`.",
        "",
        "| cell | nats, K = 500 | of a | KL | MI | active | squared error | still its digit | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in pictures.items():
        report = result["report"]
        lines.append(
            f"| {name} | {report['nll_iw']:.2f} ± {report['nll_iw_se']:.2f} | {report['measure']} | "
            f"{report['kl']:.2f} | {report['mi']:.2f} of {report['mi_cap']:.2f} | {report['au']} of "
            f"{report['dimension']} | {report['squared_error']:.4f} | "
            f"{100 * result['reconstruction_accuracy']:.1f} % | {result['cpu_seconds']:.0f} |"
        )
    lines += ["", "## Blur and variety", "", *_quality_table(pictures), "", *_reading(pictures)]
    conditional = found.get("conditional")
    if conditional:
        share = 100 * conditional["label_accuracy"]
        lines += [
            f"Asked for a digit, the conditional model writes it in {share:.1f} % of {SAMPLES} samples.",
            "",
        ]
    lines += _anomaly_lines(found) + _closed_lines(found) + _exported_lines(exported or {})
    for name in pictures:
        lines += [f"### {name}", "", f"![{name}](figures/digits-{name}.png)", ""]
    lines.append("First row held-out digits, second their reconstructions, below them samples.")
    return "\n".join(lines) + "\n"


def _of_referee(pictures: Mapping[str, Mapping[str, Any]]) -> str:
    first = next(iter(pictures.values()), None)
    return (
        ""
        if first is None
        else f", right on {100 * first['referee_accuracy']:.1f} % of held-out ones"
    )


def _quality_table(pictures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        "| cell | what | sharpness | diversity | nearest | variety |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in pictures.items():
        for what, row in {
            "reconstructions": result["reconstructions"],
            **result["samples"],
        }.items():
            lines.append(
                f"| {name} | {what} | {row['sharpness']:.2f} | {row['diversity']:.2f} | {row['nearest']:.2f} | "
                f"{row['class_entropy']:.2f} |"
            )
    return lines


def _reading(pictures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the table of blur and variety says in a sentence or two."""
    means = {
        name: result["samples"]
        for name, result in pictures.items()
        if name not in ("conditional", "binary") and "means at 0.5" in result["samples"]
    }
    if len(means) < 2:
        return []
    sharpness = {name: rows["means at 1"]["sharpness"] for name, rows in means.items()}
    ordered = sorted(sharpness, key=lambda name: float(sharpness[name]))
    best, worst = ordered[-1], ordered[0]
    cool, usual = means[best]["means at 0.5"], means[best]["means at 1"]
    words = (
        f"Of means without a label those of {best} are the sharpest ({sharpness[best]:.2f} of real digits), those of "
        f"{worst} the most blurred ({sharpness[worst]:.2f}). With a temperature of 0.5 instead of 1 the sharpness of "
        f"{best} goes from {usual['sharpness']:.2f} to {cool['sharpness']:.2f}, its diversity from "
        f"{usual['diversity']:.2f} to {cool['diversity']:.2f}. Draws of each number add the edges of noise."
    )
    return [words, ""]


def _anomaly_lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if "unseen-9" not in found:
        return []
    scores = found["unseen-9"]["auroc"]
    told = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    return [
        "## A digit that was never seen",
        "",
        f"Trained without {UNSEEN}, AUROC of {UNSEEN} against the rest: {told}.",
        "",
    ]


def _closed_lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if CLOSED not in found:
        return []
    report, exact = found[CLOSED]["report"], found[CLOSED]["closed_form"]
    return [
        "## Against a closed form",
        "",
        (
            f"x = W z + noise with {FACTORS} factors, {FRAMES} frames of {FEATURES} numbers. Exact: -log p(x) "
            f"{exact['nll']:.3f} nats, I(x; z) {exact['mi']:.3f}. Obtained on the same test sequences: "
            f"{report['nll_iw']:.3f} (K = 500), ELBO {report['elbo']:.3f}, MI {report['mi']:.3f} of at most "
            f"{report['mi_cap']:.3f}, {report['au']} of {report['dimension']} units active."
        ),
        "",
    ]


def _exported_lines(exported: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not exported:
        return []
    lines = [
        "## As one file that an app calls",
        "",
        (
            "`seqvae export` compares its graphs with PyTorch before it writes them; errors are relative. Measured by "
            "`python -m benchmarks.digits_exported`, times on one thread."
        ),
        "",
        "| cell | error of frames | of latents | of samples | model.onnx | a digit | PyTorch |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in exported.items():
        row = result["verify"]
        lines.append(
            f"| {name} | {row['frames_error']:.0e} | {row['latent_error']:.0e} | {row['generate_error']:.0e} | "
            f"{row['model_megabytes']:.1f} MB | {row['sequence_ms']:.2f} ms | {row['torch_sequence_ms']:.2f} ms |"
        )
    lines.append("")
    for name, result in exported.items():
        if "other_label" in result:
            share, cases = 100 * result["other_label"], 9 * result["digits"]
            told = (
                f"Held-out digits read by {name} under their own label and written under each of the nine others look "
                f"like those in {share:.1f} % of {cases} cases."
            )
            lines += [told, ""]
    return lines


def ledger_rows(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of issue E's ledger."""
    rows: list[dict[str, Any]] = []

    def add(name: str, what: str, target: str, figure: str, met: bool) -> None:
        rows.append(
            {
                "bar": "2",
                "what": what,
                "target": target,
                "figure": figure,
                "met": met,
                "command": "python -m benchmarks.digits run && python -m benchmarks.digits table",
                "result_file": FOLDER / f"{name}.json",
                "measured_on": found[name]["measured_on"],
            }
        )

    if CLOSED in found:
        report, exact = found[CLOSED]["report"], found[CLOSED]["closed_form"]
        gap = report["nll_iw"] - exact["nll"]
        figure = f"{report['nll_iw']:.3f} nats obtained, {exact['nll']:.3f} exact, {gap:+.3f} apart"
        target = f"a trained model within {CLOSE} nats of the closed form"
        add(
            CLOSED,
            "reproduction: linear-Gaussian frames",
            target,
            figure,
            0 <= gap + 0.01 and gap < CLOSE,
        )
    if "conditional" in found:
        share = found["conditional"]["label_accuracy"]
        figure = f"{100 * share:.1f} % of {SAMPLES} samples by a classifier of real digits"
        target = "the digit that was asked for in 90 %"
        add("conditional", "generation: digits by their label", target, figure, share >= 0.9)
    both = ("normal-fixed", "laplace")
    if all(name in found for name in both):
        sharp = [found[name]["samples"]["means at 1"]["sharpness"] for name in both]
        figure = (
            f"edge energy of samples by that of real digits {sharp[1]:.2f} against {sharp[0]:.2f}"
        )
        target = "Laplace with learned scales is sharper than squared error"
        add("laplace", "blur: digits", target, figure, sharp[1] > sharp[0])
    if "unseen-9" in found:
        scores = found["unseen-9"]["auroc"]
        best = max(scores, key=lambda name: float(scores[name]))
        target = "AUROC of the digit that was held out at least .85"
        add(
            "unseen-9",
            "anomaly detection: a digit never seen",
            target,
            f"{scores[best]:.3f} by {best}",
            scores[best] >= 0.85,
        )
    return rows
