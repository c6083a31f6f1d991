"""What text models write on their own: fluency by a model that never saw them, beside variety and novelty.

    make eval-env
    python -m benchmarks.text_generation run RUN --baseline LM_RUN --name captions
    python -m benchmarks.text_generation table

RUN is a trained VAE, LM_RUN a language model of the same decoder and data (`--latent none`). Both write texts at several temperatures;
the VAE from the prior it was trained with and, where `seqvae fit-prior` left one, from that. Beside them real sentences of
the test split, the same with their words shuffled, and one sentence again and again: what the figures make of those says what
they are worth. Results: benchmarks/results/text_generation/NAME.json; `table` writes docs/generation.md, its figure and the ledger's rows.
"""

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from benchmarks.fluency import surprisals
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from seqvae.data.corpus import Corpus
from seqvae.evaluation.text import distinct, self_bleu_samples
from seqvae.tasks.decode import Decoding
from seqvae.training import load_text
from seqvae.training.load import Expected

Floats = npt.NDArray[np.float64]
FOLDER = "text_generation"
PAGE = ROOT / "docs" / "generation.md"
TEMPERATURES = (0.0, 0.5, 0.7, 0.85, 1.0)
SHOWN = 6
NOT_WORSE = 1.0
"""The bar: where the variety is a language model's, so is the fluency, or better."""


def run(
    run: tyro.conf.Positional[Path],
    baseline: Path,
    name: str,
    texts: int = 500,
    seed: int = 1,
) -> None:
    """Write and judge.

    Args:
        run: a trained VAE.
        baseline: a language model of the same decoder and data.
        name: what to call the corpus in the results.
        texts: written by each.
        seed: of what is drawn.
    """
    models: list[tuple[str, Path, Expected | None]] = [
        ("language model", baseline, None),
        ("VAE, its prior", run, "standard"),
    ]
    if (run / "prior").exists():
        models.append(("VAE, prior fitted afterwards", run, "fitted"))
    judged: dict[str, list[str]] = {}
    for who, folder, prior in models:
        model = load_text(folder, prior=prior)
        for temperature in TEMPERATURES:
            if temperature == 0 and model.model.latent is None:
                continue  # one text again and again
            decoding = Decoding(strategy="sample", temperature=temperature, seed=seed)
            judged[f"{who}|{temperature:g}"] = model.sample(texts, decoding)
    opened = load_text(run)
    corpus = Corpus.open(opened.info["experiment"].data)
    train, test = (_sentences(corpus, split) for split in ("train", "test"))
    chosen = random.Random(seed).sample(test, min(texts, len(test)))
    judged["real sentences|"] = chosen
    judged["real sentences, words shuffled|"] = [_shuffled(text, seed) for text in chosen]
    judged["one real sentence again and again|"] = chosen[:1] * texts
    nats = surprisals([text for written in judged.values() for text in written])
    if nats is None:
        raise SystemExit("the referee of fluency is not installed: make eval-env")
    rows: list[dict[str, Any]] = []
    seen, done = set(train), 0
    for key, written in judged.items():
        own = nats[done : done + len(written)]
        rows.append({**_parts(key), **figures(written, own, seen)})
        done += len(written)
    write_result(
        f"{FOLDER}/{name}",
        {
            "texts": texts,
            "seed": seed,
            "temperatures": TEMPERATURES,
            "rows": rows,
            "examples": {key: written[:SHOWN] for key, written in judged.items()},
        },
    )


def figures(texts: Sequence[str], nats: Floats, seen: set[str]) -> dict[str, float]:
    """Fluency, variety and novelty of some texts.

    Args:
        texts: what was written.
        nats: of the referee for each, and its tokens, [N, 2].
        seen: the training texts.

    Returns:
        Nats a word and a token over all texts, distinct-1 and distinct-2, self-BLEU, the part that is unique, the part that is in
        `seen`, and the mean number of words.
    """
    words = sum(len(text.split()) for text in texts)
    return {
        "nats_per_word": float(nats[:, 0].sum()) / words,
        "nats_per_token": float(nats[:, 0].sum() / nats[:, 1].sum()),
        "distinct_1": distinct(texts, 1),
        "distinct_2": distinct(texts, 2),
        "self_bleu": self_bleu_samples(texts),
        "unique": len(set(texts)) / len(texts),
        "from_training": sum(text in seen for text in texts) / len(texts),
        "words": words / len(texts),
    }


def _parts(key: str) -> dict[str, str]:
    who, _, temperature = key.partition("|")
    return {"who": who, "temperature": temperature}


def _sentences(corpus: Corpus, split: str) -> list[str]:
    store = corpus.split(split)
    return [corpus.tokenizer.decode(store.tokens(row).tolist()) for row in range(len(store))]


def _shuffled(text: str, seed: int) -> str:
    words = text.split()
    random.Random(f"{seed} {text}").shuffle(words)
    return " ".join(words)


COLUMNS = {
    "nats_per_word": "nats a word",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "self_bleu": "self-BLEU",
    "unique": "unique",
    "from_training": "in training",
    "words": "words",
}


def table() -> None:
    """Write docs/generation.md, its figures and the ledger's rows from the results there are."""
    root = RESULTS / FOLDER
    lines = [
        "# Writing new texts",
        "",
        "Written by `python -m benchmarks.text_generation table` from `benchmarks/results/text_generation`.",
        "",
        "`seqvae sample RUN -n 10 --temperature 0.7` writes sentences that nobody has written. Nats a word are those of",
        "SmolLM2-135M, a language model that saw neither corpus nor models: lower is more fluent, but one sentence again and again is",
        "the lowest, so that fluency counts only beside variety: distinct words and pairs of words, self-BLEU (low is varied),",
        "unique texts. In training: the part copied whole from the training split. Temperature is that of the tokens; z",
        "is always drawn as the prior has it, so that at temperature 0 all variety comes from z.",
    ]
    rows = []
    for path in sorted(root.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## {path.stem}", "", *_table(found["rows"]), ""]
        picture = ROOT / "docs" / "figures" / f"generation-{path.stem}.png"
        _figure(found["rows"], picture)
        lines += [f"![Fluency against variety](figures/{picture.name})", "", *_examples(found)]
        rows.append(_bar(path, found["rows"]))
        lines += ["", f"`{found['command']}`, {found['texts']} texts each, {found['measured_on']}."]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=root)
    print("\n".join(lines))


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = ["who", "temperature", *COLUMNS.values()]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for row in rows:
        shown = [f"{row[column]:.3g}" for column in COLUMNS]
        lines.append(f"| {row['who']} | {row['temperature']} | {' | '.join(shown)} |")
    return lines


def _examples(found: Mapping[str, Any]) -> list[str]:
    lines = ["The first ones written, none chosen:"]
    for key in ("language model|0.7", "VAE, its prior|0.7", "VAE, prior fitted afterwards|0.7"):
        if key in found["examples"]:
            lines += ["", f"{key.partition('|')[0]}, temperature 0.7:", ""]
            lines += [f"- {text}" for text in found["examples"][key]]
    return lines


def _curve(rows: Sequence[Mapping[str, Any]], who: str) -> list[tuple[float, float]]:
    """(distinct-2, nats a word) of one writer, by distinct-2."""
    return sorted((row["distinct_2"], row["nats_per_word"]) for row in rows if row["who"] == who)


def at_variety(curve: Sequence[tuple[float, float]], variety: float) -> float | None:
    """Nats a word of a curve where its distinct-2 is `variety`, on straight lines; None outside of it."""
    for (low, left), (high, right) in itertools.pairwise(curve):
        if low <= variety <= high:
            part = (variety - low) / (high - low) if high > low else 0.0
            return left + part * (right - left)
    return None


def _bar(path: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(row["who"] for row in rows if row["who"].startswith("VAE"))
    usual = _curve(rows, "language model")
    ratios = {}
    for who in names:
        own = _curve(rows, who)
        both = [(nats, at_variety(own, variety)) for variety, nats in usual]
        shared = [mine / theirs for theirs, mine in both if mine is not None]
        if shared:
            ratios[who] = max(shared)
    best = min(ratios.values(), default=float("inf"))
    return {
        "bar": "2",
        "what": f"generation: texts of {path.stem}",
        "target": f"nats a word at most {NOT_WORSE:g} x the language model's wherever distinct-2 is the same",
        "figure": "; ".join(f"{who}: at most {ratio:.3f} x" for who, ratio in ratios.items())
        or "no variety in common",
        "met": best <= NOT_WORSE,
        "result_file": path,
        "command": "python -m benchmarks.text_generation run RUN --baseline LM_RUN --name "
        + path.stem,
    }


def _figure(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for who in dict.fromkeys(row["who"] for row in rows):
        curve = _curve(rows, who)
        axes.plot(*zip(*curve, strict=True), "o-" if len(curve) > 1 else "s", label=who)
    axes.set_xlabel("distinct-2 (variety)")
    axes.set_ylabel("nats a word of SmolLM2-135M (low: fluent)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
