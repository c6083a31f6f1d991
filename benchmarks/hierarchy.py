"""Levels of z: ladders of one, two and three, with and without free bits of each level, at one rate in all.

    python -m benchmarks.hierarchy run CORPUS --name tatoeba --work runs/hierarchy
    python -m benchmarks.hierarchy table

CORPUS is a folder written by `seqvae prepare text`. A cell is one training with one seed: same data, batches and steps, the same
number of dimensions shared out over the levels, and a rate target for their sum. A cell whose result exists is skipped, one that
was interrupted goes on. What a level holds is seen when the others are drawn anew from the prior, those below the top one given
it. Results: benchmarks/results/hierarchy/NAME/CELL-sSEED.json; `table` writes docs/hierarchy.md, its figure and the ledger's
row from all there are.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks.cells import Plan, by_cell, mean_and_deviation
from benchmarks.record import RESULTS, ROOT, ledger
from benchmarks.sentence_encoder import sentence_vectors
from seqvae import decoders
from seqvae.config import Experiment, preset
from seqvae.data.corpus import Corpus
from seqvae.evaluation.levels import level_kls
from seqvae.objectives import RateTarget
from seqvae.posteriors import Ladder
from seqvae.priors import Ladder as LadderOfPrior
from seqvae.priors.ladder import LadderPrior
from seqvae.tasks.text_model import TextModel

FOLDER = "hierarchy"
PAGE = ROOT / "docs" / "hierarchy.md"
LEVELS = (1, 2, 3)
FLOOR = 0.5
"""Part of each level's equal share of the rate that is free."""
TEXTS = 300
EMPTY = 0.5
"""Nats below which a level counts as empty."""

Results = Sequence[Mapping[str, Any]]


def cells(base: Experiment) -> dict[str, Experiment]:
    """Trainings by name: levels-N, levels-N+free, and the language model; one layer each way.

    Args:
        base: a text run whose objective is a rate target.
    """
    target, posterior = base.objective, base.text.posterior
    assert isinstance(target, RateTarget)
    assert isinstance(base.text.decoder, decoders.Transformer)
    networks = replace(
        base.text,
        encoder=replace(base.text.encoder, layers=1),
        decoder=replace(base.text.decoder, layers=1),
    )
    plain = replace(
        base,
        model=networks,
        objective=replace(target, floor=0.0),
        # A remedy would change the one thing that is compared.
        training=replace(base.training, guard="off"),
    )
    found = {"lm": replace(plain, latent="none"), "levels-1": plain}
    for levels in LEVELS[1:]:
        ladders = replace(
            networks,
            posterior=Ladder(posterior.dimension, levels),
            prior=LadderOfPrior(levels),
        )
        found[f"levels-{levels}"] = replace(plain, model=ladders)
        floor = replace(target, floor=FLOOR, floor_over="level")
        found[f"levels-{levels}+free"] = replace(plain, model=ladders, objective=floor)
    return found


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    work: Path,
    chosen: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0,),
    rate: float = 8.0,
    epochs: float = 1.0,
    samples: int = 500,
    limit: int | None = 500,
    threads: int = 1,
) -> None:
    """Train and measure cells one after another.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        work: folder for the runs.
        chosen: names of cells, e.g. levels-2 levels-2+free; by default all.
        seeds: one training each.
        rate: nats per sequence of all levels together.
        epochs: passes over the training split.
        samples: K of nll_iw.
        limit: test sequences used.
        threads: CPU threads.
    """
    base = preset("tiny", rate=rate)
    training = replace(base.training, threads=threads, epochs=epochs)
    known = cells(replace(base, data=str(corpus), training=training))

    def held(model: TextModel, _run: Path) -> dict[str, Any]:
        return held_by_levels(model, _test_texts(corpus))

    plan = Plan(FOLDER, name, corpus, work, known, samples, limit, held)
    plan.run(chosen or tuple(known), seeds)


def _test_texts(corpus: Path) -> list[str]:
    """`TEXTS` of the test split, evenly spaced."""
    opened = Corpus.open(corpus)
    store = opened.split("test")
    rows = np.linspace(0, len(store) - 1, min(TEXTS, len(store))).round().astype(int)
    return [opened.tokenizer.decode(store.tokens(int(row)).tolist()) for row in rows]


def held_by_levels(model: TextModel, texts: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """What is left of texts when parts of their z are kept and the others drawn anew; {} for a language model.

    Args:
        model: trained; reads and writes.
        texts: not empty.
        seed: of all that is drawn.

    Returns:
        By what is kept (`all`, `nothing`; of several levels also `top` and `rest`): the share of each text's
        words that is written again, how far its number of words is off on average, cosine of MiniLM's
        vectors where it is installed, and the first texts written.
    """
    if model.model.latent is None:
        return {}
    model.crop = True
    posterior = model.encode(texts)
    with torch.no_grad():
        z = posterior.sample(torch.tensor([seed]))[0]
        kept = {"all": z, **redrawn(model, z, seed + 1)}
        written = {name: model.decode(vectors) for name, vectors in kept.items()}
    found: dict[str, Any] = {name: _likeness(texts, said) for name, said in written.items()}
    vectors = sentence_vectors([*texts, *(text for said in written.values() for text in said)])
    if vectors is not None:
        own, *others = vectors.reshape(len(written) + 1, len(texts), -1)
        for name, other in zip(written, others, strict=True):
            found[name]["similarity"] = float((own * other).sum(1).mean())
    examples = [{"text": text} for text in texts[:4]]
    for name, said in written.items():
        for example, text in zip(examples, said, strict=False):
            example[name] = text
    return {"texts": len(texts), "kept": found, "examples": examples}


def redrawn(model: TextModel, z: Tensor, seed: int) -> dict[str, Tensor]:
    """`z` [N, D] with nothing of it kept and, where it has levels, with the top one or all others kept."""
    prior = model.need_latent("hierarchy").prior
    fresh = prior.sample(torch.tensor([seed]), len(z))
    found = {"nothing": fresh}
    if isinstance(prior, LadderPrior):
        top = prior.top_down.sizes[0]
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed))
        found["top"] = prior.redraw(z, noise, 1)
        # The levels below stay where they were, though another top would expect them elsewhere.
        found["rest"] = torch.cat([fresh[:, :top], z[:, top:]], -1)
    return found


def _likeness(texts: Sequence[str], written: Sequence[str]) -> dict[str, float]:
    """Words of each text that are written again, as a share, and by how many words lengths differ."""
    shares, off = [], []
    for text, other in zip(texts, written, strict=True):
        words, said = Counter(text.lower().split()), Counter(other.lower().split())
        shares.append((words & said).total() / max(words.total(), 1))
        off.append(abs(words.total() - said.total()))
    return {"words": mean(shares), "length_off": mean(off)}


def table() -> None:
    """Write the page, its figure and the ledger's row from all results there are."""
    root = RESULTS / FOLDER
    lines = [
        "# Levels of z",
        "",
        "Written by `python -m benchmarks.hierarchy table` from `benchmarks/results/hierarchy`.",
        "",
        "```",
        f"seqvae train DATA RUN objective:rate-target --objective.floor {FLOOR:g} --objective.floor-over level \\",
        "    model.posterior:ladder --model.posterior.levels 2 model.prior:ladder --model.prior.levels 2",
        "```",
        "",
        "A ladder infers z from the top down, q(z_1 | x) q(z_2 | x, z_1), under a prior that goes the same way,",
        "p(z_1) p(z_2 | z_1). All cells hold the same rate, KL in nats per sequence, with the same number of dimensions.",
        f"`+free`: {FLOOR:g} of each level's equal share of the rate is free of penalty (`--objective.floor {FLOOR:g}",
        "--objective.floor-over level`), so that no level need be empty. NLL is importance-weighted; the MI of a level is what",
        "it tells of x beyond the levels above it, and none of the sums can exceed the cap, ln N. Mean ± standard deviation",
        "over seeds where there are several. Every network has one layer; with more, `--model.decoder.levels 2` lets each level",
        "enter blocks of its own (`examples/hierarchy.py`), which is not measured here.",
    ]
    rows = []
    for corpus in sorted(path for path in root.iterdir() if path.is_dir()):
        found = by_cell([json.loads(path.read_text()) for path in sorted(corpus.glob("*.json"))])
        lines += ["", f"## {corpus.name}", "", *_rates(found), "", *_verdict(found)]
        lines += ["", "### What each level holds", "", *_holding(found)]
        picture = ROOT / "docs" / "figures" / "hierarchy.png"
        _figure(found, picture)
        lines += ["", f"![KL and MI of each level](figures/{picture.name})", "", *_examples(found)]
        rows.append(_bar(corpus, found))
        first = next(iter(found.values()))[0]
        lines += ["", f"`{first['command']}`, {first['measured_on']}."]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=root)
    print("\n".join(lines))


def _mean(results: Results, name: str) -> float:
    return mean(float(result["report"][name]) for result in results)


def _of_levels(results: Results, what: str) -> list[float]:
    """Means over seeds of each level's KL (`kl`) or MI (`mi`); of one level, the whole."""
    number = len(level_kls(results[0]["report"]))
    if not number:
        return [_mean(results, what)]
    return [_mean(results, f"{what}_{level}") for level in range(1, number + 1)]


def _rates(found: Mapping[str, Results]) -> list[str]:
    heads = ["cell", "seeds", "NLL", "KL", "of the levels", "MI", "of the levels", "AU", "CPU s"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for cell, results in found.items():
        nll = mean_and_deviation([float(r["report"]["nll_iw"]) for r in results], 2)
        shown = [cell, str(len(results)), nll]
        if "kl" in results[0]["report"]:
            for what in ("kl", "mi"):
                parts = " + ".join(f"{nats:.2f}" for nats in _of_levels(results, what))
                shown += [f"{_mean(results, what):.2f}", parts]
            shown.append(f"{_mean(results, 'au'):.0f} of {_mean(results, 'dimension'):.0f}")
        else:
            shown += [""] * 5
        spent = [r["train_cpu_seconds"] for r in results if r["train_cpu_seconds"] is not None]
        lines.append("| " + " | ".join([*shown, f"{mean(spent):.0f}" if spent else ""]) + " |")
    report = max((r[0]["report"] for r in found.values()), key=lambda one: one.get("samples", 0))
    cap = f", cap of MI {report['mi_cap']:.2f}" if "mi_cap" in report else ""
    seeds = min(map(len, found.values()))
    caution = " One seed: a small difference of NLL may be its chance." if seeds == 1 else ""
    counted = f"{report['sequences']} test sequences, K {report['samples']}{cap}.{caution}"
    return [*lines, "", counted]


def _verdict(found: Mapping[str, Results]) -> list[str]:
    """What the figures say, whichever way: the least NLL, and the emptiest level with and without free bits."""
    latent = {cell: results for cell, results in found.items() if cell != "lm"}
    best = min(latent, key=lambda cell: _mean(latent[cell], "nll_iw"))
    lines = [f"Least NLL of those with a z: {best}, {_mean(latent[best], 'nll_iw'):.2f} nats"]
    if "lm" in found:
        lines[0] += f" (language model: {_mean(found['lm'], 'nll_iw'):.2f})"
    lines[0] += "."
    for cell, results in latent.items():
        parts = _of_levels(results, "kl")
        if len(parts) > 1:
            state = "empty" if min(parts) < EMPTY else "used"
            lines.append(
                f"- {cell}: the level with the least KL has {min(parts):.2f} nats ({state})."
            )
    return lines


HELD = {
    "words": "words written again",
    "length_off": "words too many or few",
    "similarity": "MiniLM",
}
KEPT = {
    "all": "all of z",
    "top": "the top level, the rest drawn given it",
    "rest": "all but the top, which is drawn anew",
    "nothing": "nothing",
}


def _holding(found: Mapping[str, Results]) -> list[str]:
    lines = ["| cell | kept of z | " + " | ".join(HELD.values()) + " |", "|---|---|" + "---:|" * 3]
    number = 0
    for cell, results in found.items():
        for name, words in KEPT.items():
            mine = [r["also"]["kept"][name] for r in results if name in r["also"].get("kept", {})]
            if not mine:
                continue
            number = results[0]["also"]["texts"]
            shown = [
                f"{mean(one[column] for one in mine):.3f}" if column in mine[0] else ""
                for column in HELD
            ]
            lines.append(f"| {cell} | {words} | {' | '.join(shown)} |")
    return [
        *lines,
        "",
        f"{number} test sentences, written greedily from one sample of their posterior: the share of their words that is",
        "written again, how many words too many or too few, and the cosine of a sentence encoder's vectors with those of the",
        "original. Where the top kept alone does no better than nothing kept, it holds none of it.",
    ]


def _examples(found: Mapping[str, Results]) -> list[str]:
    cell = next((name for name in ("levels-2+free", "levels-2") if name in found), None)
    if cell is None:
        return []
    lines = [f"The first test sentences in {cell}, none chosen:"]
    for example in found[cell][0]["also"]["examples"]:
        lines += ["", f"- {example['text']}"]
        lines += [f"    - {words}: {example[name]}" for name, words in KEPT.items()]
    return lines


def _figure(found: Mapping[str, Results], path: Path) -> None:
    """KL and MI of every cell, one bar each, the levels on top of each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    latent = {cell: results for cell, results in found.items() if cell != "lm"}
    most = max(len(_of_levels(results, "kl")) for results in latent.values())
    for axis, what in zip(axes, ("kl", "mi"), strict=True):
        below = np.zeros(len(latent))
        for level in range(most):
            parts = [_of_levels(results, what) for results in latent.values()]
            height = np.array([one[level] if level < len(one) else 0.0 for one in parts])
            axis.bar(list(latent), height, 0.5, below, label=f"level {level + 1}")
            below += height
        axis.set(ylabel="nats per sequence", title={"kl": "KL", "mi": "MI"}[what])
        axis.margins(y=0.08)
        axis.tick_params("x", labelsize=8)
    axes[1].legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bar(corpus: Path, found: Mapping[str, Results]) -> dict[str, Any]:
    """Bar 2's row: ladders of two and three levels in which every level is used."""
    figures, met = [], True
    for levels in LEVELS[1:]:
        results = found.get(f"levels-{levels}+free")
        if results is None:
            met = False
            figures.append(f"{levels} levels: not measured")
            continue
        parts = _of_levels(results, "kl")
        met = met and min(parts) >= EMPTY
        shown = " + ".join(f"{nats:.2f}" for nats in parts)
        figures.append(f"{levels} levels: KL {shown}, NLL {_mean(results, 'nll_iw'):.2f}")
    one = found.get("levels-1")
    if one:
        figures.append(f"one level: NLL {_mean(one, 'nll_iw'):.2f}")
    first = next(iter(found.values()))[0]
    return {
        "bar": "2",
        "what": f"hierarchical text on {corpus.name}",
        "target": f"2 and 3 levels, each with >= {EMPTY:g} nats of KL",
        "figure": "; ".join(figures),
        "met": met,
        "command": first["command"],
        "measured_on": first["measured_on"],
        "result_file": corpus / f"{first['cell']}-s{first['seed']}.json",
    }


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
