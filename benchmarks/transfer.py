"""Text style transfer: King James verses said in Basic English and back, by a conditional VAE that never saw which verses belong together.

    python -m benchmarks.transfer run FOLDER --work runs/transfer
    python -m benchmarks.transfer table

FOLDER holds bible_kjv_asv and bible_bbe_asv, each with train.tsv, valid.tsv and test.tsv of two columns: a verse in that translation and
in the American Standard Version, by which the two are joined for the reference. Training texts are all verses of both with the
translation's name as their label, in no common order; a verse whose ASV text is in the test is left out of both. Judged by referees that know nothing of
the model: a classifier of styles on words and letters, trained on the training verses; all-MiniLM-L6-v2 for what is said; SmolLM2
for fluency. The same command goes on where it stopped. Results: benchmarks/results/transfer/NAME.json.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from benchmarks.remembered import Referees
from benchmarks.transfer_judge import Judge
from benchmarks.transfer_rivals import (
    STYLES,
    Style,
    Verses,
    lexicon,
    markers,
    neighbours,
    substituted,
    unseen,
    verses,
    without_markers,
)
from seqvae.config import preset
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.posteriors import Gaussian
from seqvae.priors.by_label import GaussianPrior
from seqvae.tasks.decode import Decoding
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

FOLDER = "transfer"
PAGE = ROOT / "docs" / "transfer.md"
EXAMPLES = 5
"""In each direction."""


def run(
    folder: tyro.conf.Positional[Path],
    work: Path,
    name: str = "bible",
    rate: float = 32.0,
    dimension: int = 64,
    steps: int = 6000,
    limit: int = 500,
    read: int = 40,
    seed: int = 0,
) -> None:
    """Train, transfer in both directions, and judge.

    Args:
        folder: with the two tables of verses.
        work: folder for the corpus and the run.
        name: what to call the result.
        rate: nats that z carries of a verse besides its style.
        dimension: of z.
        steps: of training.
        limit: test verses in each direction.
        read: how many of them, from the first on, the language model of the fluency reads: a second each on a busy core.
        seed: of the order of verses and of training.
    """
    found = verses(folder, seed)
    work.mkdir(parents=True, exist_ok=True)
    corpus = prepare_text(
        PrepareText(
            (str(_table_of(found.train, work / "train.tsv")),),
            work / "data",
            columns=("text",),
            label="style",
            valid_inputs=(str(_table_of(found.valid, work / "valid.tsv")),),
            test_inputs=(str(_table_of(found.test, work / "test.tsv")),),
        )
    )
    base = preset("tiny", rate=rate)
    experiment = replace(
        base,
        seed=seed,
        data=str(corpus.path),
        run=str(work / "run"),
        model=replace(base.text, posterior=Gaussian(dimension), conditional=True),
        training=replace(base.training, threads=1, steps=steps),
    )
    with counted(work / "run.cpu.json"):
        train(experiment)
    model = load_text(work / "run", prior="standard")
    model.crop = True
    known = unseen(found.train, [text for texts in found.test.values() for text in texts])
    classify, referees = Style(known), Referees(work / "referees")
    shown = random.Random(seed).sample(range(limit), EXAMPLES)
    moved: dict[tuple[str, str], dict[str, list[str]]] = {}
    for source, target in (STYLES, STYLES[::-1]):
        texts, wanted = found.test[source][:limit], found.test[target][:limit]
        marked = markers(known[source], known[target])
        moved[source, target] = {
            "copy": texts,
            "style words deleted": without_markers(texts, marked),
            "style words substituted": substituted(texts, lexicon(known[source], known[target])),
            "nearest training verse": neighbours(texts, known[target]),
            "VAE, written again in its own style": model.transfer(texts, source, source),
            "VAE": model.transfer(texts, target, source),
            "VAE, beam 4": model.transfer(texts, target, source, Decoding(strategy="beam")),
            "another verse in the other translation": [*wanted[1:], *wanted[:1]],
            "the other translation": wanted,
        }
    referees.ask([rows for systems in moved.values() for rows in systems.values()], read)
    directions = {}
    for (source, target), systems in moved.items():
        texts, wanted = systems["copy"], systems["the other translation"]
        judge = Judge(texts, wanted, target, classify, referees, read)
        directions[f"{source} to {target}"] = {
            "rows": [judge.row(who, written) for who, written in systems.items()],
            "examples": [
                {"source": texts[i], **{who: rows[i] for who, rows in systems.items()}}
                for i in shown
            ],
        }
    write_result(
        f"{FOLDER}/{name}",
        {
            "rate": rate,
            "dimension": dimension,
            "steps": steps,
            "train_cpu_seconds": cpu_seconds(work / "run.cpu.json"),
            "verses": limit,
            "read_for_fluency": read,
            "training_verses": {style: len(rows) for style, rows in known.items()},
            "left_out_as_tested": {s: len(found.train[s]) - len(known[s]) for s in STYLES},
            "classifier_accuracy": {
                style: classify.share(found.test[style], style) for style in STYLES
            },
            "style_from_z": leak(model, found, limit, moved=False),
            "style_from_z_within_its_prior": leak(model, found, limit, moved=True),
            "directions": directions,
        },
    )
    table()


def _table_of(texts: Mapping[str, Sequence[str]], path: Path) -> Path:
    rows = [f"{text}\t{style}\n" for style, found in texts.items() for text in found]
    path.write_text("text\tstyle\n" + "".join(rows), encoding="utf-8")
    return path


def leak(model: TextModel, found: Verses, limit: int, moved: bool) -> float:
    """Accuracy of a linear classifier that tells a test verse's style from its z, fitted to training verses.

    With `moved`, z as transfer moves it: standardised by the prior of its own label.
    """
    from sklearn.linear_model import LogisticRegression

    def encoded(texts: Mapping[str, Sequence[str]], most: int) -> tuple[Any, list[str]]:
        rows = [_latents(model.given(s), texts[s][:most], moved) for s in STYLES]
        labels = [s for s, found in zip(STYLES, rows, strict=True) for _ in found]
        return np.concatenate(rows), labels

    fitted = LogisticRegression(max_iter=1000).fit(*encoded(found.train, 1500))
    return float(fitted.score(*encoded(found.test, limit)))


def _latents(own: TextModel, texts: Sequence[str], moved: bool) -> Any:  # noqa: ANN401
    means = own.latent_mean(list(texts))
    prior = own.need_latent("transfer").prior
    if not moved or not isinstance(prior, GaussianPrior):
        return means
    centre, spread = prior.mean.detach(), torch.exp(0.5 * prior.log_variance.detach())
    return (means - centre.cpu().numpy()) / spread.cpu().numpy()


COLUMNS = {
    "style": ("taken for the target", "{:.1%}"),
    "content": ("content kept", "{:.3f}"),
    "joint": ("joint", "{:.3f}"),
    "to_reference": ("likeness to the other translation", "{:.3f}"),
    "bleu": ("BLEU to it", "{:.1f}"),
    "chrf": ("chrF to it", "{:.1f}"),
    "self_bleu": ("BLEU to the source", "{:.1f}"),
    "self_chrf": ("chrF to the source", "{:.1f}"),
    "copies": ("copies", "{:.1%}"),
    "nats_per_word": ("nats a word", "{:.2f}"),
}
OURS = ("VAE", "VAE, beam 4")
RIVALS = (
    "copy",
    "style words deleted",
    "style words substituted",
    "nearest training verse",
)
SHOWN = ("source", "style words substituted", *OURS, "the other translation")
"""Of an example; the result file has all."""


def table() -> None:
    """Write docs/transfer.md, its figure and the ledger's rows from the results there are."""
    lines = [
        "# Text style transfer",
        "",
        "Written by `python -m benchmarks.transfer table` from `benchmarks/results/transfer`; `python -m benchmarks.transfer run` makes",
        "them.",
        "",
        "```",
        "seqvae prepare text verses.tsv DATA --label style       # a text and its label a line; pairs are not needed",
        "seqvae train DATA RUN --model.conditional --rate 32     # z holds what the label does not say",
        'seqvae transfer RUN "And he said unto them" --to bbe',
        "```",
        "",
        "Taken for the target: by a classifier of words and letters that was trained on real verses. Content kept: cosine of",
        "all-MiniLM-L6-v2 to the source. Joint: the geometric mean of these two, where copying gets next to nothing. Nats a word: of",
        "SmolLM2-135M, lower is more fluent; those of real verses stand in the rows of copying and of the other translation. Style",
        "words: those that one translation uses e times as often as the other; for each, the word of the other style that stands beside",
        "the same words takes its place. Written again in its own style: what z alone loses, whatever the style.",
    ]
    rows = []
    for path in sorted((RESULTS / FOLDER).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## {path.stem}", "", _about(result)]
        for direction, found in result["directions"].items():
            lines += ["", f"### {direction}", "", *_rows(found["rows"]), ""]
            lines.append("Verses drawn by the seed, none chosen:")
            for example in found["examples"]:
                told = ((who, example[who]) for who in SHOWN if who in example)
                lines += ["", *(f"- {who}: {text}" for who, text in told)]
        picture = PAGE.parent / "figures" / f"transfer-{path.stem}.png"
        _figure(result, picture)
        lines += ["", f"![Style switched against content kept](figures/{picture.name})"]
        rows.append(_bar(path, result))
        lines += ["", f"Joint, mean of both directions: {rows[-1]['figure']}."]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows)


def _about(result: Mapping[str, Any]) -> str:
    accuracy = " and ".join(f"{v:.1%} of {s}" for s, v in result["classifier_accuracy"].items())
    leaks = f"{result['style_from_z']:.1%} of verses"
    if "style_from_z_within_its_prior" in result:
        leaks += f", {result['style_from_z_within_its_prior']:.1%} within the prior of its label"
    return (
        f"{result['verses']} test verses in each direction, {result['read_for_fluency']} of them read for fluency. {result['steps']} steps, "
        f"{result['train_cpu_seconds'] / 60:.0f} CPU-minutes; {result['rate']:g} nats asked of z, {result['dimension']} dimensions. "
        f"The classifier is right on {accuracy} in the test. A linear classifier tells the style from z in {leaks} (50 % would be none of it)."
    )


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = ["who", *(head for head, _ in COLUMNS.values())]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for row in rows:
        cells = [form.format(row[key]) if key in row else "" for key, (_, form) in COLUMNS.items()]
        lines.append(f"| {row['who']} | " + " | ".join(cells) + " |")
    return lines


def _figure(result: Mapping[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    for axis, (direction, found) in zip(axes, result["directions"].items(), strict=True):
        for row in found["rows"]:
            if "content" not in row:
                continue
            ours = row["who"].startswith("VAE")
            axis.scatter(row["content"], row["style"], color="C3" if ours else "C0", s=22)
            axis.annotate(
                row["who"],
                (row["content"], row["style"]),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=7,
            )
        axis.set(xlabel="content kept (MiniLM)", title=direction, xlim=(0, 1.25), ylim=(-0.05, 1.1))
    axes[0].set_ylabel("taken for the target style")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bar(path: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    def best(names: Sequence[str]) -> tuple[float, str]:
        found: dict[str, list[float]] = {}
        for direction in result["directions"].values():
            for row in direction["rows"]:
                if row["who"] in names:
                    found.setdefault(row["who"], []).append(row.get("joint", 0.0))
        name = max(found, key=lambda who: float(np.mean(found[who])))
        return float(np.mean(found[name])), name

    (ours, who), (theirs, rival) = best(OURS), best(RIVALS)
    return {
        "bar": "2",
        "what": f"text style transfer: {path.stem}",
        "target": "joint score (style switched, content kept) above copying, deleting, substituting and retrieving",
        "figure": f"{who} {ours:.3f}; {rival} {theirs:.3f}",
        "met": ours > theirs,
        "command": result["command"],
        "measured_on": result["measured_on"],
        "result_file": path,
    }


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
