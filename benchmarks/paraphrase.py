"""Paraphrases of captions: likeness against copying as the noise grows, with pairs and without, beside what needs no model.

    python -m benchmarks.paraphrase run FOLDER --work runs/paraphrase
    python -m benchmarks.paraphrase table

FOLDER holds train.tsv, valid.tsv and test.tsv, a picture a line, its captions in the columns. Two VAEs of the same networks and steps are trained:
`no pairs` writes each caption again, `pairs` writes another caption of the same picture. The first caption of a test picture is
paraphrased, the second is a human's paraphrase beside it, the others are the references. Referees: BLEU (sacrebleu, lowercased, all references), all-MiniLM-L6-v2 for what is said,
SmolLM2 for fluency. iBLEU(a) = a BLEU(written, references) - (1 - a) BLEU(written, input), Sun and Zhou 2012, with a = 0.8 (as HRQ-VAE
has it) and 0.9 (as UPSA has it). The same command goes on where it stopped. Results: benchmarks/results/paraphrase/NAME.json.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.paraphrase_judge import Judge
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from benchmarks.remembered import Referees
from benchmarks.transfer_rivals import neighbours
from seqvae.config import Experiment, preset
from seqvae.data.corpus import Corpus
from seqvae.data.noise_text import damage
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

FOLDER = "paraphrase"
PAGE = ROOT / "docs" / "paraphrase.md"
SPLITS = ("train", "valid", "test")


def captions(path: Path) -> list[list[str]]:
    """Captions of each picture.

    Raises:
        UserError: a line has fewer than three: one to paraphrase, one to stand beside, one to compare both with.
    """
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows, 1):
        if len(row) < 3:
            raise UserError(f"{path}, line {number}: {len(row)} captions, three are needed")
    return rows


def run(
    folder: tyro.conf.Positional[Path],
    work: Path,
    name: str = "captions",
    rate: float = 16.0,
    steps: int = 5000,
    noise: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0),
    candidates: int = 10,
    limit: int = 300,
    read: int = 100,
    seed: int = 0,
) -> None:
    """Train, paraphrase and judge.

    Args:
        folder: of the captions.
        work: folder for corpora and runs.
        name: what to call the result.
        rate: nats that z carries.
        steps: of each training.
        noise: scales of the posterior's noise that are compared.
        candidates: paraphrases of each text that are ranked, at the scale 1.
        limit: test pictures.
        read: texts of each row that are read for fluency, the first ones: that referee is slow on a CPU.
        seed: of everything random.
    """
    work.mkdir(parents=True, exist_ok=True)
    pictures = {split: captions(folder / f"{split}.tsv") for split in SPLITS}
    single = _prepared(_single(pictures, work / "single"), work / "single" / "data", ("1",))
    paired = _prepared(
        _paired(pictures, work / "pairs", seed), work / "pairs" / "data", ("1", "2"), single
    )
    base = preset("tiny", rate=rate)
    base = replace(base, seed=seed, training=replace(base.training, threads=1, steps=steps))
    models = {
        "no pairs": _trained(base, single, work / "single"),
        "pairs": _trained(base, paired, work / "pairs"),
    }
    test = pictures["test"][:limit]
    texts = [" ".join(row[0].split()) for row in test]
    # The second is what a human wrote, and stands in the table: it must not be its own reference.
    human, others = [row[1] for row in test], [row[2:] for row in test]
    known = [text for row in pictures["train"] for text in row]
    systems: dict[str, list[str]] = {
        "copy": texts,
        "another caption of the picture": human,
        "nearest training caption": neighbours(texts, known),
        "a fifth of the words dropped": [_damaged(t, "drop", seed) for t in texts],
        "a fifth of the words moved": [_damaged(t, "swap", seed) for t in texts],
    }
    for who, model in models.items():
        for scale in noise:
            found = model.paraphrase(texts, 1, noise_scale=scale, distinct=False, seed=seed)
            systems[f"{who}, noise {scale:g}"] = [p.candidates[0].text for p in found]
    ranked = {
        who: [
            [candidate.text for candidate in p.candidates]
            for p in model.paraphrase(texts, candidates, noise_scale=1.0, seed=seed)
        ]
        for who, model in models.items()
    }
    referees = Referees(work / "referees")
    read_of_all = [*systems.values(), *([row[0] for row in found] for found in ranked.values())]
    candidates_of_all = [[text for row in found for text in row] for found in ranked.values()]
    referees.ask(read_of_all, read)
    referees.vectors([text for texts in candidates_of_all for text in texts])
    judge = Judge(texts, others, referees, read)
    rows = [judge.row(who, written) for who, written in systems.items()]
    for who, found in ranked.items():
        rows += judge.ranking(who, found, seed)
    write_result(
        f"{FOLDER}/{name}",
        {
            "rate": rate,
            "steps": steps,
            "train_cpu_seconds": {
                part: cpu_seconds(work / part / "run.cpu.json") for part in ("single", "pairs")
            },
            "candidates": candidates,
            "texts": len(texts),
            "read": read,
            "rows": rows,
            "examples": [
                {"input": texts[i], **{who: found[i] for who, found in systems.items()}}
                for i in sorted(random.Random(seed).sample(range(len(texts)), 5))
            ],
        },
    )
    table()


def _single(pictures: Mapping[str, Sequence[Sequence[str]]], folder: Path) -> dict[str, Path]:
    return _written(
        folder, {s: [[text] for row in rows for text in row] for s, rows in pictures.items()}
    )


def _paired(
    pictures: Mapping[str, Sequence[Sequence[str]]], folder: Path, seed: int
) -> dict[str, Path]:
    """Each caption with the next one of its picture, in a random order."""
    tables: dict[str, list[list[str]]] = {}
    for split, rows in pictures.items():
        generator, found = random.Random(f"{seed} {split}"), []
        for row in rows:
            order = generator.sample(list(row), len(row))
            found += [[a, b] for a, b in zip(order, [*order[1:], order[0]], strict=True)]
        tables[split] = found
    return _written(folder, tables)


def _written(folder: Path, tables: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, rows in tables.items():
        paths[split] = folder / f"{split}.tsv"
        text = "".join("\t".join(row) + "\n" for row in rows)
        paths[split].write_text(text, encoding="utf-8")
    return paths


def _prepared(
    tables: Mapping[str, Path], out: Path, columns: tuple[str, ...], like: Corpus | None = None
) -> Corpus:
    return prepare_text(
        PrepareText(
            (str(tables["train"]),),
            out,
            columns=columns,
            header=False,
            tokenizer=None if like is None else like.path / "tokenizer.model",
            valid_inputs=(str(tables["valid"]),),
            test_inputs=(str(tables["test"]),),
        )
    )


def _trained(base: Experiment, corpus: Corpus, folder: Path) -> TextModel:
    with counted(folder / "run.cpu.json"):
        train(replace(base, data=str(corpus.path), run=str(folder / "run")))
    model = load_text(folder / "run", prior="standard")
    model.crop = True
    return model


def _damaged(text: str, kind: str, seed: int) -> str:
    return damage(text, (kind,), 0.2, random.Random(f"{seed} {kind} {text}"))


COLUMNS = {
    "to_input": ("likeness to the input", "{:.3f}"),
    "to_references": ("to the references", "{:.3f}"),
    "bleu_to_reference": ("BLEU", "{:.1f}"),
    "bleu_to_input": ("BLEU to the input", "{:.1f}"),
    "ibleu_0.8": ("iBLEU(0.8)", "{:.1f}"),
    "ibleu_0.9": ("iBLEU(0.9)", "{:.1f}"),
    "copies": ("copies", "{:.1%}"),
    "distinct_2": ("distinct-2", "{:.3f}"),
    "nats_per_word": ("nats a word", "{:.2f}"),
}


def table() -> None:
    """Write docs/paraphrase.md, its figure and the ledger's rows from the results there are."""
    lines = [
        "# Paraphrases",
        "",
        "Written by `python -m benchmarks.paraphrase table` from `benchmarks/results/paraphrase`; `python -m benchmarks.paraphrase run`",
        "makes them.",
        "",
        "```",
        'seqvae paraphrase RUN "Two dogs play in the snow." --n 5 --noise-scale 1',
        "```",
        "",
        "Likeness: cosine of all-MiniLM-L6-v2. BLEU: to three other captions of the picture. iBLEU(a) = a BLEU - (1 - a) BLEU to",
        "the input, with both weights in use. Nats a word: of SmolLM2-135M. A perfect copy has the likeness 1 and a BLEU to the",
        "input of 100: good paraphrases are alike without it, to the upper left of the figure. Sentences that fit any picture have",
        "a good iBLEU too: read it beside likeness and distinct-2. The ledger takes the best of the noise scales, picked on these texts.",
    ]
    rows = []
    for path in sorted((RESULTS / FOLDER).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        minutes = [f"{seconds / 60:.0f}" for seconds in result["train_cpu_seconds"].values()]
        heads = ["who", *(head for head, _ in COLUMNS.values())]
        lines += [
            "",
            f"## {path.stem}",
            "",
            f"{result['texts']} test texts; {result['steps']} steps each, {' and '.join(minutes)} CPU-minutes; {result['rate']:g} nats "
            + f"asked of z; greedy decoding; the first {result['read']} texts of each row read for fluency.",
            "",
            "| " + " | ".join(heads) + " |",
            "|---|" + "---:|" * len(COLUMNS),
        ]
        for row in result["rows"]:
            cells = [
                form.format(row[key]) if key in row else "" for key, (_, form) in COLUMNS.items()
            ]
            lines.append(f"| {row['who']} | " + " | ".join(cells) + " |")
        picture = PAGE.parent / "figures" / f"paraphrase-{path.stem}.png"
        _figure(result["rows"], picture)
        lines += ["", f"![Likeness against copying](figures/{picture.name})"]
        lines += ["", "Drawn by lot:"]
        for example in result["examples"]:
            lines += ["", *(f"- {who}: {text}" for who, text in example.items())]
        rows += _bars(path, result)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows)


def _figure(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5.5), layout="constrained")
    shown = [row for row in rows if "to_input" in row]
    for who, colour in (("no pairs", "C3"), ("pairs", "C2")):
        curve = [row for row in shown if row["who"].startswith(f"{who}, noise")]
        points = [(row["bleu_to_input"], row["to_input"]) for row in curve]
        if points:
            axis.plot(*zip(*points, strict=True), "o-", color=colour, ms=4, label=f"VAE, {who}")
        for row, point in zip(curve, points, strict=True):
            scale = row["who"].rpartition(" ")[2]
            axis.annotate(scale, point, xytext=(3, -9), textcoords="offset points", fontsize=7)
    for row in shown:
        if not row["who"].startswith(("no pairs", "pairs")):
            point = (row["bleu_to_input"], row["to_input"])
            axis.scatter(*point, color="C0", s=20)
            axis.annotate(row["who"], point, xytext=(4, 3), textcoords="offset points", fontsize=7)
    axis.set(xlabel="BLEU to the input (copying)", ylabel="likeness to the input (MiniLM)")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, title="noise scale beside its point")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(path: Path, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = result["rows"]
    common = {
        "bar": "2",
        "command": result["command"],
        "measured_on": result["measured_on"],
        "result_file": path,
    }

    def best(start: tuple[str, ...], key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = max(
            (row for row in rows if row["who"].startswith(start)), key=lambda row: row[key]
        )
        return found

    ours = best(("no pairs, noise", "pairs, noise"), "ibleu_0.8")
    theirs = best(("copy", "nearest", "a fifth"), "ibleu_0.8")
    first, any_one = (
        [row for row in rows if row["who"].endswith(how)] for how in ("first by the model", ": any")
    )
    key = "to_references" if "to_references" in rows[0] else "bleu_to_reference"
    gains = [a[key] - b[key] for a, b in zip(first, any_one, strict=True)]
    return [
        {
            **common,
            "what": f"paraphrase: {path.stem}",
            "target": "iBLEU(0.8) above copying, retrieving, dropping and moving words, and no less near to the references",
            "figure": f"{ours['who']}: {ours['ibleu_0.8']:.1f}, {key} {ours[key]:.3f}; "
            + f"{theirs['who']}: {theirs['ibleu_0.8']:.1f}, {theirs[key]:.3f}",
            "met": ours["ibleu_0.8"] > theirs["ibleu_0.8"] and ours[key] >= theirs[key],
        },
        {
            **common,
            "what": f"paraphrase: {path.stem}, candidates ranked by the model",
            "target": "its first is nearer to the references than any one",
            "figure": ", ".join(f"{gain:+.3f}" for gain in gains) + f" ({key}; no pairs, pairs)",
            "met": min(gains) > 0,
        },
    ]


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
