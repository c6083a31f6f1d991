"""Texts of a wanted kind and length: a conditional text model that is told a label and a number, on real sentences.

    python -m benchmarks.attributes run data/tatoeba --name tatoeba --work runs/attributes
    python -m benchmarks.attributes table

CORPUS is a folder written by `seqvae prepare`, whose sentences are labelled here by what can be counted: their kind (a question ends in
a question mark, an exclamation in an exclamation mark, all else is a statement) and how many words they have. A model is trained on
them with `--model.conditional`, and one of the same networks that is told nothing. Then, for each kind and number of words, texts
are drawn from what is expected of them, and held-out sentences are encoded as what they are and written as another kind, or as
long again. Results: benchmarks/results/attributes/NAME.json; `table` writes docs/conditional.md and the ledger's rows.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from seqvae.config import preset
from seqvae.config_json import to_json
from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.evaluation.evaluate import evaluate
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

FOLDER = "attributes"
PAGE = ROOT / "docs" / "conditional.md"
KINDS = {"?": "question", "!": "exclamation"}
LENGTHS = (3, 5, 8, 12)
KIND_TARGET, WORDS_TARGET = 0.95, 0.90
SHOWN = 4


def kind_of(text: str) -> str:
    """question, exclamation or statement."""
    return KINDS.get(text.rstrip(" \"'")[-1:], "statement")


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    work: Path,
    rate: float = 8.0,
    epochs: float = 3.0,
    texts: int = 100,
    samples: int = 100,
    limit: int = 500,
    seed: int = 0,
) -> None:
    """Train, ask and count.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        work: folder for the tables and the runs.
        rate: nats per sequence of z.
        epochs: passes over the training split.
        texts: drawn for each kind and length.
        samples: K of nll_iw.
        limit: test sequences used for it, and for switching.
        seed: of training and drawing.
    """
    opened = Corpus.open(corpus)
    labelled = _labelled(opened, corpus, work)
    base = preset("tiny", rate=rate)
    base = replace(
        base,
        seed=seed,
        training=replace(base.training, threads=1, epochs=epochs),
        data=str(labelled.path),
    )
    conditional = replace(base, model=replace(base.text, conditional=True))
    payload: dict[str, Any] = {"corpus": name, "epochs": epochs, "texts": texts, "reports": {}}
    for cell, experiment in (("told", conditional), ("untold", base)):
        folder = work / cell
        with counted(work / f"{cell}.cpu.json"):
            train(replace(experiment, run=str(folder)))
        model = load_text(folder)
        report = evaluate(model.model, labelled, "test", samples=samples, limit=limit)
        payload["reports"][cell] = {
            **{key: report[key] for key in ("nll_iw", "kl", "mi", "mi_cap", "token_accuracy")},
            "samples": samples,
            "sequences": report["sequences"],
            "train_cpu_seconds": cpu_seconds(work / f"{cell}.cpu.json"),
        }
    told = load_text(work / "told")
    payload["drawn"] = _drawn(told, texts, seed)
    payload["switched"] = _switched(told, labelled, limit)
    payload["experiment"] = to_json(replace(conditional, data=name, run=""))
    print(json.dumps(payload["drawn"]["figures"], indent=1))
    write_result(f"{FOLDER}/{name}", payload)


def _labelled(opened: Corpus, corpus: Path, work: Path) -> Corpus:
    """The same splits with their kinds and numbers of words, the tokenizer kept."""
    out = work / "data"
    work.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split in ("train", "valid", "test"):
        store = opened.split(split)
        paths[split] = work / f"{split}.tsv"
        with paths[split].open("w", encoding="utf-8") as table:
            table.write("text\tkind\twords\n")
            for row in range(len(store)):
                text = opened.tokenizer.decode(store.tokens(row).tolist()).replace("\t", " ")
                table.write(f"{text}\t{kind_of(text)}\t{len(text.split())}\n")
    return prepare_text(
        PrepareText(
            inputs=(str(paths["train"]),),
            valid_inputs=(str(paths["valid"]),),
            test_inputs=(str(paths["test"]),),
            out=out,
            label="kind",
            attributes=("words:number",),
            tokenizer=corpus,
        )
    )


def _drawn(model: TextModel, texts: int, seed: int) -> dict[str, Any]:
    """Texts drawn for each kind and length, and how many are what was asked for."""
    cells, shown = [], {}
    for kind in model.labels:
        for words in LENGTHS:
            written = model.given(kind, words=words).sample(texts, seed=seed + 1)
            lengths = [len(text.split()) for text in written]
            cells.append(
                {
                    "kind": kind,
                    "words": words,
                    "right_kind": float(np.mean([kind_of(text) == kind for text in written])),
                    "words_written": float(np.mean(lengths)),
                    "off": float(np.mean([abs(length - words) for length in lengths])),
                    "lengths": lengths,
                    "unique": len(set(written)) / len(written),
                }
            )
            shown[f"{kind}, {words} words"] = written[:SHOWN]
    asked = np.repeat([cell["words"] for cell in cells], texts)
    got = np.concatenate([cell.pop("lengths") for cell in cells])
    figures = {
        "right_kind": float(np.mean([cell["right_kind"] for cell in cells])),
        "words_correlation": float(np.corrcoef(asked, got)[0, 1]),
        "words_off": float(np.mean(np.abs(asked - got))),
    }
    return {"figures": figures, "cells": cells, "shown": shown}


def _switched(model: TextModel, corpus: Corpus, limit: int) -> dict[str, Any]:
    """Held-out statements written again as they are and as questions, by the same z."""
    store = corpus.split("test")
    labels, known = store.labels, store.attributes
    assert labels is not None and known is not None
    statement = model.labels.index("statement")
    short = store.lengths <= model.max_pieces
    rows = [row for row in range(len(store)) if labels[row] == statement and short[row]][:limit]
    texts = [corpus.tokenizer.decode(store.tokens(row).tolist()) for row in rows]
    by_length: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        by_length.setdefault(int(known[row, 0]), []).append(place)
    written = {"statement": [""] * len(rows), "question": [""] * len(rows)}
    for words, places in by_length.items():
        z = model.given("statement", words=words).latent_mean([texts[i] for i in places])
        for kind, into in written.items():
            for i, text in zip(places, model.given(kind, words=words).decode(z), strict=True):
                into[i] = text
    kept = {
        kind: float(np.mean([_overlap(a, b) for a, b in zip(texts, again, strict=True)]))
        for kind, again in written.items()
    }
    return {
        "right_kind": {
            kind: float(np.mean([kind_of(text) == kind for text in again]))
            for kind, again in written.items()
        },
        "words_kept": kept,
        "shown": [
            [text, written["statement"][i], written["question"][i]]
            for i, text in enumerate(texts[:8])
        ],
    }


def _overlap(text: str, other: str) -> float:
    """Part of the words of a text that are in another, without marks and case."""
    one, two = ({word.strip(".,?!\"'").lower() for word in t.split()} for t in (text, other))
    return len(one & two) / max(1, len(one))


def table() -> None:
    """Write the page and the ledger's rows of all results there are."""
    lines = [
        "# Texts of a wanted kind and length",
        "",
        "A conditional text model is told a label and any number of attributes, names and numbers, of each text",
        "(`prepare text --label COLUMN --attributes COLUMN COLUMN:number`, `train --model.conditional`); afterwards what is said with",
        "`--label VALUE --label NAME=VALUE` decides. Sentences are labelled here by what can be counted: their kind by the mark at their",
        "end, and how many words they have. Written by `python -m benchmarks.attributes table`; `... run` makes the results.",
    ]
    rows: list[dict[str, Any]] = []
    for path in sorted((RESULTS / FOLDER).glob("*.json")):
        found = json.loads(path.read_text())
        lines += _page(path.stem, found)
        rows += _bars(path, found)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=RESULTS / FOLDER)
    print("\n".join(lines))


def _page(name: str, found: dict[str, Any]) -> list[str]:
    drawn, switched = found["drawn"], found["switched"]
    lines = [
        "",
        f"## {name}",
        "",
        f"{found['epochs']:g} epochs. Drawn: {found['texts']} texts of each kind and length.",
        "",
        "| kind | words asked | words written | off by | right kind | unique |",
        "|---|---|---|---|---|---|",
    ]
    for cell in drawn["cells"]:
        lines.append(
            f"| {cell['kind']} | {cell['words']} | {cell['words_written']:.2f} | {cell['off']:.2f} | "
            f"{cell['right_kind']:.0%} | {cell['unique']:.0%} |"
        )
    lines += ["", "| asked for | drawn |", "|---|---|"]
    for asked, written in drawn["shown"].items():
        lines.append(f"| {asked} | {' / '.join(_cell(text) for text in written)} |")
    lines += [
        "",
        "| model | NLL | KL | MI | cap | token accuracy | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell, report in found["reports"].items():
        lines.append(
            f"| {cell} | {report['nll_iw']:.2f} | {report['kl']:.2f} | {report['mi']:.2f} | {report['mi_cap']:.2f} | "
            f"{report['token_accuracy']:.3f} | {report['train_cpu_seconds']:.0f} |"
        )
    kinds, kept = switched["right_kind"], switched["words_kept"]
    lines += [
        "",
        (
            f"NLL is of a text given what is known of it, {found['reports']['told']['sequences']} test sequences, K "
            f"{found['reports']['told']['samples']}."
        ),
        "",
        (
            f"Held-out statements written again from their z as statements ({kinds['statement']:.0%} are, {kept['statement']:.0%} of their "
            f"words are kept) and as questions ({kinds['question']:.0%} are, {kept['question']:.0%} kept):"
        ),
        "",
        "| statement | again | as a question |",
        "|---|---|---|",
        *(f"| {' | '.join(_cell(text) for text in each)} |" for each in switched["shown"]),
    ]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _bars(path: Path, found: dict[str, Any]) -> list[dict[str, Any]]:
    figures = found["drawn"]["figures"]
    shared = {
        "bar": "2",
        "command": found["command"],
        "measured_on": found["measured_on"],
        "result_file": path,
    }
    return [
        {
            **shared,
            "what": f"generation: texts of {path.stem} of a wanted kind and number of words",
            "target": f"the kind in {KIND_TARGET:.0%}, correlation of words asked and written {WORDS_TARGET:.2f}",
            "figure": f"{figures['right_kind']:.1%}, {figures['words_correlation']:.3f} (off by {figures['words_off']:.2f} words)",
            "met": figures["right_kind"] >= KIND_TARGET
            and figures["words_correlation"] >= WORDS_TARGET,
        }
    ]


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
