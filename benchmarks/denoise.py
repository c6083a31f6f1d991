"""Damaged sentences repaired: word errors before and after, for lost, exchanged and mistyped words and all of these.

    python -m benchmarks.denoise run CORPUS --work runs/denoise
    python -m benchmarks.denoise table

CORPUS is a folder written by `seqvae prepare text`. Training pairs are its sentences, each damaged `copies` times, and themselves:
the encoder reads the damaged text, the decoder writes the whole one. Compared are writing anew from the latent (`rewrite`), few
edits weighed by the VAE (`edit`) and the same edits weighed by a language model with the same decoder, which knows nothing of the
damaged text (`edit, language model`). An error is a word to insert, remove or exchange (Levenshtein), counted against the clean
sentence over the whole test set. The same command goes on where it stopped. Results: benchmarks/results/denoise/NAME.json.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from seqvae.config import preset
from seqvae.data.corpus import Corpus
from seqvae.data.noise_text import DAMAGES, damage, word_errors
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.posteriors import Gaussian
from seqvae.tasks.decode import Decoding
from seqvae.tasks.repair import Channel
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

FOLDER = "denoise"
PAGE = ROOT / "docs" / "denoising.md"
BAR = 0.5
"""Share of the errors to be removed."""
MIXTURES = {**{kind: (kind,) for kind in DAMAGES}, "mixed": tuple(DAMAGES)}
HEADS = {
    "drop": "lost",
    "swap": "exchanged",
    "typo": "mistyped",
    "mixed": "all three",
    "none": "whole text",
}
Repair = Callable[[Sequence[str]], list[str]]


def sentences(corpus: Corpus, split: str, limit: int | None = None) -> list[str]:
    """Texts of a split, as the tokenizer normalises them."""
    store = corpus.split(split)
    count = len(store) if limit is None else min(limit, len(store))
    return [corpus.tokenizer.decode(store.tokens(i)) for i in range(count)]


def write_pairs(
    path: Path, texts: Sequence[str], copies: int, rate: float, generator: random.Random
) -> Path:
    """A table of damaged and whole texts: each text whole, and `copies` times damaged in a random way."""
    ways = list(MIXTURES.values())
    with path.open("w", encoding="utf-8") as table:
        for text in texts:
            clean = " ".join(text.split())
            for copy in range(copies + 1):
                # Between none and twice the rate: the model must not learn how much is wrong.
                share = generator.uniform(0, min(1.0, 2 * rate)) if copy else 0.0
                table.write(f"{damage(clean, generator.choice(ways), share, generator)}\t{clean}\n")
    return path


def measure(
    repair: Repair,
    texts: Sequence[str],
    rate: float,
    seed: int,
    kinds: Sequence[str] = (*MIXTURES, "none"),
) -> dict[str, dict[str, float]]:
    """Word errors in percent of the words, before and after repair, by kind of damage; `none` is clean text."""
    found = {}
    for kind in kinds:
        generator = random.Random(f"{seed} {kind}")
        ways, share = (MIXTURES[kind], rate) if kind != "none" else (("drop",), 0.0)
        damaged = [damage(text, ways, share, generator) for text in texts]
        words = sum(len(text.split()) for text in texts)
        repaired = repair(damaged)
        before = sum(word_errors(a, b) for a, b in zip(damaged, texts, strict=True))
        after = sum(word_errors(a, b) for a, b in zip(repaired, texts, strict=True))
        found[kind] = {
            "before": 100 * before / words,
            "after": 100 * after / words,
            **({"removed": 1 - after / before} if before else {}),
        }
    return found


def run(
    corpus: tyro.conf.Positional[Path],
    work: Path,
    name: str = "captions",
    rate: float = 20.0,
    damaged: float = 0.15,
    copies: int = 3,
    limit: int = 500,
    steps: int = 6000,
    beams: tuple[int, ...] = (1, 4),
    costs: tuple[float, ...] = (3.0, 5.0, 7.0),
    chosen_on: int = 200,
    seed: int = 0,
) -> None:
    """Train, repair, and write down.

    Args:
        corpus: prepared, of single texts.
        work: folder for the pairs and the runs.
        name: what to call the result.
        rate: nats that z carries. To write a sentence anew they must be as many as it costs; to weigh edits fewer do.
        damaged: share of words damaged in the test; training sees up to twice that.
        copies: damaged copies of each training sentence.
        limit: test sentences.
        steps: of each training.
        beams: widths of the search that are compared on validation sentences; 1 is greedy.
        costs: nats of an edit that are compared there.
        chosen_on: validation sentences.
        seed: of training and damage.
    """
    work.mkdir(parents=True, exist_ok=True)
    whole = Corpus.open(corpus)
    pairs = _pairs(whole, corpus / "tokenizer.model", work, copies, damaged, seed)
    base = preset("tiny", rate=rate)
    base = replace(base, seed=seed, training=replace(base.training, threads=1, steps=steps))
    networks = replace(base.text, posterior=Gaussian(dimension=64))
    with counted(work / "run.cpu.json"):
        train(replace(base, data=str(pairs.path), run=str(work / "run"), model=networks))
    with counted(work / "lm.cpu.json"):
        train(replace(base, data=str(corpus), run=str(work / "lm"), latent="none"))
    model, baseline = (load_text(work / part, prior="standard") for part in ("run", "lm"))
    model.crop = baseline.crop = True
    methods: dict[str, dict[str, Repair]] = {
        "rewrite": {f"beam {beam}": _rewriting(model, beam) for beam in beams},
        "edit": {f"cost {cost:g}": _editing(model, cost) for cost in costs},
        "edit, language model": {f"cost {cost:g}": _editing(baseline, cost) for cost in costs},
    }
    valid, test = sentences(whole, "valid", chosen_on), sentences(whole, "test", limit)
    found: dict[str, dict[str, Any]] = {}
    for method, ways in methods.items():
        trials = {
            way: measure(repair, valid, damaged, seed, ["mixed"])["mixed"]["after"]
            for way, repair in ways.items()
        }
        way = min(trials, key=trials.__getitem__)
        errors = measure(ways[way], test, damaged, seed)
        found[method] = {"way": way, "validation": trials, "word_errors": errors}
        for kind, row in errors.items():
            figures = "  ".join(f"{key} {value:.3f}" for key, value in row.items())
            print(f"{method} ({way}), {kind:6s} {figures}")
    write_result(
        f"{FOLDER}/{name}",
        {
            "rate": rate,
            "damaged": damaged,
            "copies": copies,
            "steps": steps,
            "train_cpu_seconds": cpu_seconds(work / "run.cpu.json"),
            "language_model_cpu_seconds": cpu_seconds(work / "lm.cpu.json"),
            "sentences": len(test),
            "methods": found,
            "examples": _examples(test[:6], damaged, seed, methods, found),
        },
    )
    table()


def _pairs(
    whole: Corpus, tokenizer: Path, work: Path, copies: int, damaged: float, seed: int
) -> Corpus:
    tables = {}
    for split, count in (("train", copies), ("valid", 1), ("test", 1)):
        tables[split] = work / f"{split}.tsv"
        if not tables[split].exists():
            partial = work / f"{split}.partial"
            generator = random.Random(f"{seed} {split}")
            write_pairs(partial, sentences(whole, split), count, damaged, generator)
            partial.replace(tables[split])
    return prepare_text(
        PrepareText(
            (str(tables["train"]),),
            work / "data",
            columns=("1", "2"),
            header=False,
            tokenizer=tokenizer,
            valid_inputs=(str(tables["valid"]),),
            test_inputs=(str(tables["test"]),),
        )
    )


def _rewriting(model: TextModel, beam: int) -> Repair:
    decoding = Decoding() if beam == 1 else Decoding(strategy="beam", beam_size=beam)
    return lambda texts: model.denoise(texts, decoding)


def _editing(model: TextModel, cost: float) -> Repair:
    # A lost word can be any of those proposed: its name costs more than a place.
    channel = Channel(lost=cost + 1, swapped=cost, mistyped=cost)
    return lambda texts: model.repair(texts, channel)


def _examples(
    texts: Sequence[str],
    damaged: float,
    seed: int,
    methods: dict[str, dict[str, Repair]],
    found: dict[str, dict[str, Any]],
) -> list[dict[str, str]]:
    generator = random.Random(f"{seed} examples")
    read = [damage(text, tuple(DAMAGES), damaged, generator) for text in texts]
    written = {method: methods[method][row["way"]](read) for method, row in found.items()}
    return [
        {"whole": text, "damaged": read[i], **{m: rows[i] for m, rows in written.items()}}
        for i, text in enumerate(texts)
    ]


def table() -> None:
    """Write docs/denoising.md and the ledger's rows from all results there are."""
    lines = [
        "# Denoising",
        "",
        "Written by `python -m benchmarks.denoise table` from `benchmarks/results/denoise`; `python -m benchmarks.denoise run`",
        "makes them.",
        "",
        "```",
        'seqvae denoise RUN "two dgos play the snow"                   # rewrite: written anew from the latent',
        'seqvae denoise RUN "two dgos play the snow" --method edit     # words put back, moved or respelled, others kept',
        "```",
        "",
        "Words are lost, change places with a neighbour, or are mistyped by one slip. `edit` weighs what the model",
        "gains by an edit against what it costs (a noisy channel), and works with a language model too, which knows the words",
        "around but has not read the sentence. Errors are words to insert, remove or exchange, in percent of the words. How many",
        "nats an edit costs and how wide the beam is were chosen on validation sentences with mixed damage.",
    ]
    rows = []
    for path in sorted((RESULTS / FOLDER).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        minutes = result["train_cpu_seconds"] / 60
        lines += [
            "",
            f"## {path.stem}",
            "",
            f"{result['sentences']} test sentences, {100 * result['damaged']:.0f} % of words damaged. "
            + f"{result['steps']} steps, {minutes:.0f} CPU-minutes; {result['rate']:g} nats asked of the latent.",
            "",
            "| method | " + " | ".join(HEADS.values()) + " |",
            "|---|" + "---|" * len(HEADS),
        ]
        for method, found in result["methods"].items():
            cells = [_shown(found["word_errors"][kind]) for kind in HEADS]
            lines.append(f"| {method} ({found['way']}) | " + " | ".join(cells) + " |")
        lines += ["", "In this order: errors before, after, and the share removed.", ""]
        for example in result["examples"]:
            lines += [f"- {who}: {text}" for who, text in example.items()] + [""]
        ours = {m: found for m, found in result["methods"].items() if "language model" not in m}
        best = min(ours, key=lambda m: min(ours[m]["validation"].values()))
        for kind in MIXTURES:
            errors = ours[best]["word_errors"][kind]
            rows.append(
                {
                    "bar": "2",
                    "what": f"denoising {path.stem}: {kind}",
                    "target": f"word errors removed >= {BAR:.0%}",
                    "figure": f"{errors['removed']:.1%} by {best} ({errors['before']:.1f} to {errors['after']:.1f} % of words)",
                    "met": errors["removed"] >= BAR,
                    "command": result["command"],
                    "measured_on": result["measured_on"],
                    "result_file": path,
                }
            )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    ledger("E", rows)


def _shown(errors: dict[str, float]) -> str:
    removed = f", {errors['removed']:.0%}" if "removed" in errors else ""
    return f"{errors['before']:.1f} → {errors['after']:.1f}{removed}"


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
