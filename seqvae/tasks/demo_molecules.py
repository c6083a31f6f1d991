"""The demonstration with molecules: MOSES in, new molecules, its table and a search for better ones out."""

import html
import json
import os
import time
from itertools import islice
from pathlib import Path

from seqvae import decoders, encoders
from seqvae.config import Experiment, Model, Training
from seqvae.data.corpus import Corpus
from seqvae.data.molecules import PrepareMolecules, prepare_molecules
from seqvae.data.moses import Part, moses_smiles
from seqvae.data.smiles import Notation
from seqvae.evaluation.molecules.published import table
from seqvae.evaluation.molecules.score import moses_scores, reconstructed
from seqvae.objectives import RateTarget
from seqvae.posteriors import Gaussian
from seqvae.priors import Flow
from seqvae.tasks.molecules.draw import draw, figure, walk
from seqvae.tasks.molecules.model import MoleculeModel
from seqvae.tasks.molecules.optimize import Found, Search, optimize
from seqvae.training import train

HELD_OUT = 2000
"""Molecules of MOSES' test set that are kept to write again and to start searches from."""
PARACETAMOL, IBUPROFEN = "CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccc(C(C)C(=O)O)cc1"


def demo_molecules(
    folder: Path = Path("demo-molecules"),
    molecules: int = 60_000,
    steps: int = 1500,
    samples: int = 2000,
    reference_limit: int | None = 2000,
    rate: float = 48.0,
    notation: Notation = "selfies",
    cache: Path | None = None,
    processes: int = os.cpu_count() or 1,
) -> None:
    """Prepare MOSES, train, sample, print MOSES' table beside the published rows, search, draw.

    MOSES comes with a package that must be installed alone: pip install --no-deps molsets. The defaults take minutes; for
    the whole of it: --molecules 1600000 --steps 40000 --samples 30000 --reference-limit None. Run again, it goes on where
    it stopped.

    Args:
        folder: where corpus, run, table and drawings go.
        molecules: of the training set.
        steps: of the training.
        samples: new molecules that are judged.
        reference_limit: molecules of each test set that they are compared with; None: all, as the published rows were.
        rate: nats that the latent carries of each molecule.
        notation: selfies: every string is a molecule; smiles.
        cache: where the statistics of the test sets are kept [~/.cache/seqvae].
        processes: how many judge the samples.
    """
    began = time.monotonic()
    corpus = _prepare(folder, molecules, notation)
    run = folder / "run"
    _say(f"training {run}: {rate:g} nats of latent a molecule")
    train(_experiment(corpus, run, steps, rate))
    model = MoleculeModel.load(run)
    _say("new molecules from the prior")
    written = list(model.sample(samples))
    (folder / "samples.smi").write_text("\n".join(written) + "\n", encoding="utf-8")
    scores = moses_scores(
        written, cache=cache, processes=processes, reference_limit=reference_limit
    )
    held_out = model.held_out(500)
    scores["reconstruction"] = reconstructed(held_out, model.reconstruct(held_out))
    rows = table({"this run": scores})
    print(rows)
    if reference_limit is not None or samples < 30_000:
        print("(few samples or reference molecules: FCD, SNN and Scaf look worse than they are)")
    print(
        f"written again exactly: {scores['reconstruction']:.1%} of {len(held_out)} test molecules"
    )
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    _say("more drug-like molecules near some of the test set (QED; similarity at least .4)")
    found = optimize(model, held_out[:4], Search(rounds=10))
    for one in found:
        print(f"  {one.before:.2f} {one.start}\n  {one.after:.2f} {one.best}")
    page = _page(folder, rows, found, walk(model, PARACETAMOL, IBUPROFEN, 12))
    _say(f"done in {(time.monotonic() - began) / 60:.1f} minutes. The page: {page}")
    print(
        f"Try:  seqvae molecules optimize {run} '{PARACETAMOL}' --property logp --out better.svg\n"
        f"      seqvae molecules walk {run} '{PARACETAMOL}' '{IBUPROFEN}' --out walk.png\n"
        f"      seqvae molecules sample {run}"
    )


def _prepare(folder: Path, molecules: int, notation: Notation) -> Corpus:
    _say(f"reading {molecules:,} molecules of MOSES")
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[Part, int] = {"train": molecules, "test": HELD_OUT}
    for part, size in sizes.items():
        path = folder / f"{part}-{size}.smi"
        if not path.is_file():
            text = "\n".join(islice(moses_smiles(part), size)) + "\n"
            partial = path.with_suffix(".partial")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
    return prepare_molecules(
        PrepareMolecules(
            inputs=(str(folder / f"train-{molecules}.smi"),),
            test_inputs=(str(folder / f"test-{HELD_OUT}.smi"),),
            out=folder / "corpus",
            notation=notation,
            vocab_size=500,
            most_held_out=1000,
        )
    )


def _experiment(corpus: Corpus, run: Path, steps: int, rate: float) -> Experiment:
    return Experiment(
        data=str(corpus.path),
        run=str(run),
        objective=RateTarget(rate=rate),
        model=Model(
            encoder=encoders.Gru(width=256, dropout=0.0, pooling="mean_max"),
            posterior=Gaussian(dimension=64),
            prior=Flow(),
            decoder=decoders.Gru(width=256, dropout=0.0),
        ),
        training=Training(
            steps=steps,
            tokens_per_batch=1024,
            learning_rate=4e-3,
            validate_every=max(1, steps // 5),
            validate_sequences=400,
        ),
    )


def _page(folder: Path, rows: str, found: list[Found], way: list[str]) -> Path:
    pairs = [pair for one in found for pair in ((one.start, one.before), (one.best, one.after))]
    captions = [f"QED {value:.2f}" for _, value in pairs]
    search = draw([text for text, _ in pairs], folder / "search.svg", captions, columns=2)
    parts = [
        "<!doctype html><meta charset=utf-8><title>MOSES</title>",
        "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .6em;text-align:right}</style>",
        "<h1>Molecules</h1>",
        _html_table(rows),
        figure(search, "Left: of the test set. Right: the most drug-like molecule found near it."),
    ]
    if way:
        drawn = draw(way, folder / "walk.svg")
        parts.append(figure(drawn, "From paracetamol to ibuprofen, decoded on the way."))
    page = folder / "molecules.html"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _html_table(rows: str) -> str:
    cells = [
        [html.escape(cell.strip()) for cell in line.strip("|").split("|")]
        for line in rows.splitlines()
        if not line.startswith("|---")
    ]
    body = "".join("<tr><td>" + "<td>".join(row) for row in cells)
    return f"<table>{body}</table>"


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
