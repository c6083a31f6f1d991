"""Autoencoders that match all posteriors together with the prior, beside the VAE: what is kept, and what is written.

    python -m benchmarks.aggregate run CORPUS --name tatoeba --work runs/aggregate --epochs 1
    python -m benchmarks.aggregate table

CORPUS is a folder written by `seqvae prepare`. A cell is one training with one seed, all with the same data, batches, steps and
networks; a language model of the same decoder, cell `lm`, is trained first and judges what the others write. A cell whose
result exists is skipped and one that was interrupted goes on; several processes may share the cells of one WORK.
Results: benchmarks/results/aggregate/NAME/CELL-sSEED.json; `table` writes docs/aggregate.md.

Of each model: the test likelihood (nll_iw: every posterior here has a density, so it is defined; where posteriors are too narrow its
samples come from wider ones, by what is tightest on the validation split: see seqvae/evaluation/proposal.py), reconstruction from the posterior's mean, MI and its cap, the MMD of all test posteriors and
the prior, and texts drawn from the prior token by token at temperature 1: forward perplexity (of the texts under `lm`: fluency),
reverse perplexity (of the test split under a language model trained on the texts alone: fluency and coverage; Zhao et al. 2018,
arXiv 1706.04223), distinct words and unique texts. The row `lm` says how well a model without a latent does. No figure needs a
referee.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import tyro

from benchmarks.cells import Plan, by_cell, mean_and_deviation
from benchmarks.record import RESULTS, ledger
from seqvae.config import Experiment, preset
from seqvae.data.corpus import Corpus
from seqvae.data.noise import Noise
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.evaluation.evaluate import evaluate
from seqvae.evaluation.prior_match import prior_mmd
from seqvae.evaluation.proposal import best_width, validation_batches
from seqvae.evaluation.text import distinct
from seqvae.objectives import Adversarial, Elbo, Info, Mmd, ObjectiveChoice
from seqvae.schedules import Constant
from seqvae.tasks.decode import Decoding
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

FOLDER = "aggregate"
PAGE = Path(__file__).parents[1] / "docs" / "aggregate.md"
JUDGE = "lm"
DROPPED = 0.3
"""Part of the words that the denoising autoencoders do not read (as in DAAE)."""
DRAW = Decoding(strategy="sample", temperature=1.0, top_p=1.0)
"""As the model has it: no filter that would flatter one kind of model more than another."""
MMD_ROWS = 2000
"""Most test sequences in the MMD, whose cost grows with their square."""


def cells(base: Experiment) -> dict[str, Experiment]:
    """Trainings by name; `ae` is what the others are without their match to the prior."""
    noisy = replace(base.training, noise=Noise(drop=DROPPED))
    objectives: dict[str, ObjectiveChoice] = {
        "ae": Elbo(Constant(0.0)),
        "mmd": Mmd(),
        "info": Info(),
        "aae": Adversarial(),
    }
    return {
        JUDGE: replace(base, latent="none"),
        "vae": base,
        **{name: replace(base, objective=objective) for name, objective in objectives.items()},
        "dvae": replace(base, training=noisy),
        "dae": replace(base, objective=objectives["ae"], training=noisy),
        "daae": replace(base, objective=objectives["aae"], training=noisy),
    }


_cells = cells  # `run` has an argument of that name


def run(
    corpus: tyro.conf.Positional[Path],
    name: str,
    work: Path,
    cells: tuple[str, ...] = ("vae", "ae", "mmd", "info", "aae", "daae"),
    seeds: tuple[int, ...] = (0,),
    rate: float = 8.0,
    epochs: float = 8.0,
    texts: int = 20_000,
    samples: int = 100,
    limit: int | None = 1000,
    threads: int = 1,
) -> None:
    """Train and measure cells one after another.

    Args:
        corpus: prepared corpus.
        name: what to call it in the results.
        work: folder for the runs.
        cells: names of cells; an unknown one lists them.
        seeds: one training each.
        rate: nats per sequence of the cells vae and dvae.
        epochs: passes over the training split; the reverse language models get as many over their texts.
        texts: drawn from each prior.
        samples: K of nll_iw.
        limit: test sequences used for likelihood and reconstruction.
        threads: CPU threads.
    """
    base = preset("tiny", rate=rate)
    training = replace(base.training, threads=threads, epochs=epochs, guard="warn")
    known = _cells(replace(base, data=str(corpus), training=training))
    also = Writing(known[JUDGE], corpus, work / name, texts, samples, limit)
    plan = Plan(FOLDER, name, corpus, work, known, samples, limit, also)
    plan.run((JUDGE,), seeds)
    missing = [seed for seed in seeds if not result_of(name, JUDGE, seed).exists()]
    if missing:
        raise SystemExit(
            f"another process is training the language model of seed {missing[0]}: start again when it has"
        )
    plan.run(cells, seeds)


def result_of(name: str, cell: str, seed: int) -> Path:
    """Where the result of a cell lies."""
    return RESULTS / FOLDER / name / f"{cell}-s{seed}.json"


class Writing:
    """What a model writes from its prior, judged by language models, and how its latents lie.

    Args:
        judge: the language model's experiment; its runs lie in `work`.
        corpus: prepared corpus.
        work: folder of the runs of this corpus.
        texts: drawn from the prior.
        samples: K of nll_iw.
        limit: test sequences used for it; None for all.
    """

    def __init__(
        self,
        judge: Experiment,
        corpus: Path,
        work: Path,
        texts: int,
        samples: int,
        limit: int | None,
    ) -> None:
        self.judge, self.corpus, self.work, self.texts = judge, corpus, work, texts
        self.samples, self.limit = samples, limit

    def __call__(self, model: TextModel, run: Path) -> dict[str, Any]:
        """Figures by name; perplexities are per piece, end included."""
        seed = run.name.rpartition("-s")[2]
        judge = load_text(self.work / f"{JUDGE}-s{seed}")
        judge.crop = True  # what never ends is judged by its beginning
        drawn = [text for text in model.sample(self.texts, DRAW, seed=1) if text.strip()]
        match = {} if model.model.latent is None else self._match(model)
        return {
            "written": len(drawn),
            "forward_perplexity": perplexity(judge, drawn),
            "reverse_perplexity": self._reverse(drawn, run),
            "distinct_1": distinct(drawn[:1000], 1),
            "distinct_2": distinct(drawn[:1000], 2),
            "unique": len(set(drawn)) / len(drawn),
            **match,
        }

    def _match(self, model: TextModel) -> dict[str, float]:
        """How far the posteriors are from the prior, and the likelihood from samples of a fitting width."""
        opened = Corpus.open(self.corpus)
        width = best_width(model.model, validation_batches(model, opened))
        report = evaluate(
            model.model,
            opened,
            "test",
            samples=self.samples,
            limit=self.limit,
            widen=width,
            progress=False,
        )
        return {
            "mmd": test_mmd(model, opened),
            "widened": width,
            "nll_iw": report["nll_iw"],
            "samples": self.samples,
        }

    def _reverse(self, drawn: list[str], run: Path) -> float:
        """Perplexity of the test split under a language model trained on `drawn`, pieces as in the corpus."""
        folder = run.with_name(f"{run.name}-written")
        prepared = folder / "corpus"
        if not prepared.exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "texts.txt").write_text("\n".join(drawn) + "\n", encoding="utf-8")
            wanted = PrepareText(
                inputs=(str(folder / "texts.txt"),), out=prepared, tokenizer=self.corpus, test=0.0
            )
            prepare_text(wanted)
        learned = folder / "lm"
        train(replace(self.judge, data=str(prepared), run=str(learned)))
        model = load_text(learned).model
        report = evaluate(model, Corpus.open(self.corpus), "test", progress=False)
        return math.exp(report["nll_iw"] * report["sequences"] / report["tokens"])


def perplexity(judge: TextModel, texts: list[str]) -> float:
    """Per piece, end included, of texts under a language model."""
    scores = judge.score(texts, samples=1)
    return math.exp(sum(s.nll_iw for s in scores) / sum(len(s.pieces) for s in scores))


def test_mmd(model: TextModel, corpus: Corpus) -> float:
    """Of the posteriors of the test split and the prior."""
    store = corpus.split("test")
    every = max(1, math.ceil(len(store) / MMD_ROWS))
    longest = model.max_pieces
    ids = [store.tokens(row).tolist() for row in range(0, len(store), every)]
    posterior = model.posterior([row for row in ids if len(row) <= longest])
    return prior_mmd(posterior, model.need_latent("mmd").prior)


COLUMNS = {
    "nll_iw": "NLL",
    "widened": "wider by",
    "reconstruction": "reconstruction",
    "kl": "KL",
    "mi": "MI",
    "exact_match": "exact",
    "bleu": "BLEU",
    "mmd": "MMD",
    "forward_perplexity": "forward PPL",
    "reverse_perplexity": "reverse PPL",
    "distinct_2": "distinct-2",
    "unique": "unique",
}


def table() -> None:
    """Write the page of all results there are, and the ledger's row of each corpus."""
    root = RESULTS / FOLDER
    lines = [
        "# All posteriors together matched to the prior",
        "",
        "A VAE pulls each posterior to the prior. An adversarial autoencoder (`objective:adversarial`), a Wasserstein autoencoder",
        "(`objective:mmd`) and an InfoVAE (`objective:info`) pull all of them together: MMD is how far all are from the prior, 0",
        "where they are the prior. `ae` matches nothing; `dvae`, `dae` and `daae` read texts with words left out (`--noise.drop`).",
        "",
        "Test split, nats per sequence; NLL is importance-weighted, from samples `wider by` so many nats (of a posterior that no",
        "objective asks to be as wide as the true one). Texts are drawn from the prior at temperature 1: forward PPL is theirs under",
        "a language model (`lm`), reverse PPL that of the test split under a language model trained on them alone (fluency and",
        "variety; Zhao et al. 2018). Written by `python -m benchmarks.aggregate table`; `... run` makes the results.",
    ]
    rows: list[dict[str, Any]] = []
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        found = by_cell([json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))])
        lines += ["", f"## {folder.name}", "", f"| cell | seeds | {' | '.join(COLUMNS.values())} |"]
        lines.append("|" + "---|" * (len(COLUMNS) + 2))
        for cell, same in found.items():
            shown = " | ".join(_shown(same, column) for column in COLUMNS)
            lines.append(f"| {cell} | {len(same)} | {shown} |")
        epochs = next(iter(found.values()))[0]["experiment"]["training"]["epochs"]
        lines += ["", f"{epochs:g} epochs."]
        rows.append(_bar(folder, found))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ledger("E", rows, instead_of=root)
    print("\n".join(lines))


def _bar(folder: Path, found: Mapping[str, list[Mapping[str, Any]]]) -> dict[str, Any]:
    """Bar 2's row: each objective measured, and its posteriors nearer to the prior than those of none."""

    def mmd(cell: str) -> float:
        return float(mean(result["also"]["mmd"] for result in found[cell]))

    wanted = ("vae", "mmd", "info", "aae", "daae")
    there = [cell for cell in wanted if cell in found]
    first = found[JUDGE][0]
    best = min(there, key=lambda cell: mean(r["also"]["reverse_perplexity"] for r in found[cell]))
    figures = ", ".join(f"{cell} {mmd(cell):.4f}" for cell in there)
    plain = f" (matching nothing {mmd('ae'):.4f})" if "ae" in found else ""
    return {
        "bar": "2",
        "what": f"objectives of the aggregate on {folder.name}",
        "target": f"{', '.join(wanted)} measured; all posteriors nearer to the prior than an autoencoder's",
        "figure": f"MMD {figures}{plain}; least reverse perplexity {best}, "
        f"{mean(r['also']['reverse_perplexity'] for r in found[best]):.1f}",
        "met": set(wanted) <= set(there)
        and "ae" in found
        and all(mmd(cell) < mmd("ae") for cell in wanted),
        "command": first["command"],
        "measured_on": first["measured_on"],
        "result_file": folder / f"{JUDGE}-s{first['seed']}.json",
    }


def _shown(results: list[Mapping[str, Any]], column: str) -> str:
    """A figure of several seeds; MI with its cap."""
    measured = [{**result["report"], **result.get("also", {})} for result in results]
    values = [one[column] for one in measured if column in one]
    if not values:
        return ""
    shown = mean_and_deviation(values, 2 if column in ("bleu", "nll_iw", "kl") else 3)
    return f"{shown} of {measured[0]['mi_cap']:.2f}" if column == "mi" else shown


if __name__ == "__main__":
    try:
        tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
    except UserError as error:
        raise SystemExit(str(error)) from None
