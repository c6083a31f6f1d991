"""The page on anomalies, written from all results there are: docs/anomalies.md and its figures.

python -m benchmarks.anomaly_table
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import anomaly, anomaly_audio, anomaly_molecules
from benchmarks.record import RESULTS, ROOT

FOLDER = RESULTS / "anomaly"
PAGE = ROOT / "docs" / "anomalies.md"
FIGURES = ROOT / "docs" / "figures"
SIDES = ("anomaly/audio", "anomaly/molecules")
Result = Mapping[str, Any]

USE = """\
# Anomalies

Written by `python -m benchmarks.anomaly_table` from `benchmarks/results/anomaly`; each section names the command that measured it.

AUROC is the probability that what is odd scores higher than what is usual: 0.5 is chance, 1 never wrong. The score was
chosen on other texts, recordings or molecules than it is reported on; it stands in bold.

```
seqvae score RUN - --known usual.tsv < lines.txt      # text: odd = misfit and latent distance, in deviations
seqvae score RUN recordings/                          # sound: nats a frame, and the worst quarter of a second
seqvae molecules anomalies RUN                        # SMILES: damaged strings told from whole ones
```

```python
model = seqvae.load("RUN")
reference = model.reference(known_texts, labels)      # labels may be left out
odd = reference.oddity(model.score(texts))
```

- **misfit**: what a piece of the text costs when its latent is given: high where the latent cannot hold what the text says.
- **distance**: one minus the cosine to the ten nearest known texts, in a latent space whitened within the labels.
- **odd**: the two added, each in deviations of known texts.
- **worst**: of a sound, the mean cost of the quarter of a second that costs most. Something wrong in one place is lost in the
  mean of all frames.

The nats of the whole text (`-elbo`, `nll_iw`) grow with its length, and the KL alone says little: a text of another kind need not
cost more of it than a usual one.
"""


def table() -> None:
    """Write the page."""
    lines = [USE]
    for path in sorted(FOLDER.glob("*.json")):
        if f"anomaly/{path.stem}" not in SIDES:
            lines += _texts(path.stem, _read(path))
    audio, molecules = (FOLDER / f"{Path(name).name}.json" for name in SIDES)
    if audio.exists():
        found = _read(audio)
        lines += [
            "## Altered speech",
            "",
            _by(found),
            "",
            (
                f"Recordings of {found['corpus']}'s held-out prompts, {found['recordings']} whole and as many others altered, "
                "by a model that heard only whole ones. What was done to them: `benchmarks/altered_sound.py`. Spectral statistics "
                f"need no model: the Mahalanobis distance of a recording's mean log-mel frame and its deviation to those of "
                f"{found['known']} training recordings."
            ),
            "",
            *_grid(found),
            "",
            _verdict(found, anomaly_audio.RIVAL),
            "",
            _figure("anomalies-audio", found["report"], found["chosen"], (anomaly_audio.RIVAL,)),
            "",
        ]
    if molecules.exists():
        found = _read(molecules)
        spent = found["train_cpu_seconds"]
        lines += [
            "## Strings that are no molecules",
            "",
            _by(found),
            "",
            (
                f"{found['molecules']} held-out molecules of MOSES in SMILES, every second one damaged in one place until rdkit refuses it; "
                f"the VAE trained {found['steps']} steps, {spent['vae'] / 60:.1f} CPU-minutes, the language model of the same "
                f"decoder as many steps, {spent['lm'] / 60:.1f}."
            ),
            "",
            *_grid(found),
            "",
            _verdict(found, *anomaly_molecules.RIVALS),
            "",
        ]
    lines += [
        "## A digit that was never seen",
        "",
        "See [the page on digits](digits.md).",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _by(found: Result) -> str:
    # Of a folder outside the project its name is enough.
    return f"By `{re.sub(r'(?<= )/[^ ]*/', '', found['command'])}`."


def _texts(name: str, found: Result) -> list[str]:
    spent = found["train_cpu_seconds"]
    minutes = ", ".join(f"{model} {seconds / 60:.1f}" for model, seconds in spent.items())
    rows = sorted(found["scores"].items(), key=lambda item: -float(item[1]["report"]))
    lines = [
        f"## Out-of-scope questions: {name}",
        "",
        _by(found),
        "",
        (
            f"Preset tiny at a rate of {found['rate']:g} nats, {found['epochs']:g} passes over the questions in scope. No model saw an "
            f"intent. CPU-minutes of training: {minutes}. `lm` is a language model of the same decoder, data and passes, "
            "`background` one of texts with half of their words exchanged, which the likelihood ratios subtract (Ren et al. 2019). "
            "Words counted (TF-IDF of letters) and the sentence encoder (all-MiniLM-L6-v2, trained on a billion pairs) know "
            "nothing of the VAE. Labels known: intents of the training questions whiten the latent space; the VAE never saw them. The form of the joined score (ten neighbours, equal weights, "
            "cosines after whitening) was picked among 12 joined ones of one run, whose figures on both halves were in view; it was also the "
            "best of them where scores are chosen."
        ),
        "",
        "| score | where it is chosen | AUROC | 95 % |",
        "|---|---|---|---|",
    ]
    for score, row in rows:
        low, high = row["interval"]
        mark = "**" if score == found["chosen"] else ""
        lines.append(
            f"| {mark}{score}{mark} | {row['choose']:.3f} | {row['report']:.3f} | {low:.3f} to {high:.3f} |"
        )
    report = {score: {"mean": row["report"]} for score, row in rows}
    others = [score for score in report if score.startswith(anomaly.RIVALS)]
    return [
        *lines,
        "",
        _verdict({"chosen": found["chosen"], "report": report}, *others),
        "",
        _figure(f"anomalies-{name}", report, found["chosen"], tuple(others)),
        "",
    ]


def _grid(found: Result) -> list[str]:
    kinds = list(next(iter(found["report"].values())))
    lines = ["| score | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for score, row in found["report"].items():
        mark = "**" if score == found["chosen"] else ""
        cells = " | ".join(f"{row[kind]:.3f}" for kind in kinds)
        lines.append(f"| {mark}{score}{mark} | {cells} |")
    return lines


def _verdict(found: Result, *rivals: str) -> str:
    """Whether the chosen score is above each of those that no VAE made."""
    report, chosen = found["report"], found["chosen"]
    best = report[chosen]["mean"]
    others = {s: row["mean"] for s, row in report.items() if s.startswith(rivals)}
    told = [f"{s} ({value:.3f})" for s, value in others.items() if value >= best]
    if told:
        return f"Chosen: {chosen}, {best:.3f}. Not above {', '.join(told)}."
    nearest = max(others, key=lambda s: float(others[s]))
    return (
        f"Chosen: {chosen}, {best:.3f}; the best without a VAE is {nearest}, {others[nearest]:.3f}."
    )


def _figure(
    name: str, report: Mapping[str, Mapping[str, float]], chosen: str, rivals: tuple[str, ...]
) -> str:
    """Bars of the mean AUROC, written to docs/figures; the line that shows them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sorted(report.items(), key=lambda item: item[1]["mean"])
    colours = [
        "#d95f02" if s == chosen else "#bbbbbb" if s.startswith(rivals) else "#7570b3"
        for s, _ in rows
    ]
    figure = Figure(figsize=(7, 0.8 + 0.24 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh([s for s, _ in rows], [row["mean"] for _, row in rows], color=colours)
    axes.axvline(0.5, color="black", linewidth=0.8)
    axes.set_xlim(0.35, 1.0)
    axes.set_xlabel("AUROC (orange: chosen; grey: without a VAE; line: chance)")
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png", dpi=110, metadata={"Software": None})
    return f"![{name}](figures/{name}.png)"


if __name__ == "__main__":
    table()
