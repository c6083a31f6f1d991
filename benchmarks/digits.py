"""Digits as sequences of rows: what each likelihood does to blur and variety, and how a closed form is met.

    python -m benchmarks.digits run [CELL...] [--work runs/digits]
    python -m benchmarks.digits table

Needs `pip install 'seqvae[digits]'`: the 1797 digits of 8 x 8 pixels of scikit-learn, and its classifier, trained on
the real digits of the training split, as the referee. A cell is one training of 1000 steps, 30 CPU-seconds; all take
6 CPU-minutes. A cell whose result exists is skipped, one that was interrupted goes on. Results: benchmarks/results/digits/
CELL.json with CELL.png beside it; `table` writes docs/digits.md and the ledger's rows from all there are.
"""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.digits_page import (
    CLOSED,
    FACTORS,
    FEATURES,
    FOLDER,
    FRAMES,
    SAMPLES,
    STEPS,
    UNSEEN,
    ledger_rows,
    page,
)
from benchmarks.picture_quality import Classifier, quality
from benchmarks.record import RESULTS, ROOT, ledger, write_result
from seqvae.config_frames import Frames
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.digits import PrepareDigits, prepare_digits
from seqvae.data.frames.prepare import PrepareFrames, prepare_frames
from seqvae.encoders import StyleConv
from seqvae.evaluation.frames import evaluate_frames
from seqvae.frames_batch import frames_batches
from seqvae.likelihoods import Bernoulli, Laplace, Normal
from seqvae.posteriors import Gaussian
from seqvae.preset_frames import frames_preset
from seqvae.tasks.auroc import auroc
from seqvae.tasks.frames_model import FramesModel
from seqvae.tasks.picture import contact_sheet, in_rows, write_picture
from seqvae.training import load_frames, train

PAGE = ROOT / "docs" / "digits.md"
TEMPERATURES = (0.5, 0.7, 1.0)
# Noise of the closed form: half a deviation.
NOISE = 0.5
# Test sequences measured: the standard error of their mean is then 0.1 nats, but that of the difference is not.
MOST = 500

Floats = npt.NDArray[np.float32]


def cells() -> dict[str, Frames]:
    """Networks by the name of their cell; all but the named part as the preset `tiny` has them."""
    base = frames_preset("tiny").frames
    return {
        "bernoulli": base,
        "continuous-bernoulli": replace(base, likelihood=Bernoulli(continuous=True)),
        "normal-fixed": replace(base, likelihood=Normal(scale=1.0)),
        "normal": replace(base, likelihood=Normal()),
        "laplace": replace(base, likelihood=Laplace()),
        "binary": base,
        "conditional": replace(base, likelihood=Normal(), conditional=True),
        "autoregressive": replace(base, likelihood=Normal(), autoregressive=True),
        "unseen-9": replace(base, likelihood=Normal()),
        CLOSED: replace(
            base,
            encoder=StyleConv(width=64, layers=1),
            posterior=Gaussian(FACTORS + 1),
            likelihood=Normal(),
            batch=256,
        ),
    }


def run(
    names: tyro.conf.Positional[tuple[str, ...]] = (), work: Path = ROOT / "runs" / "digits"
) -> None:
    """Train and measure cells.

    Args:
        names: which; none: all.
        work: folder for corpora and runs.
    """
    known = cells()
    for name in names or tuple(known):
        if name not in known:
            raise SystemExit(f"no cell {name!r}; there are {', '.join(known)}")
        if (FOLDER / f"{name}.json").exists():
            continue
        FOLDER.mkdir(parents=True, exist_ok=True)
        folder, clock = work / name, work / f"{name}-cpu.json"
        with counted(clock):
            corpus = corpus_of(name, work)
            base = frames_preset("tiny")
            training = replace(base.training, steps=STEPS, threads=1, device="cpu")
            wanted = replace(
                base, data=str(corpus.path), run=str(folder), model=known[name], training=training
            )
            train(wanted)
            model = load_frames(folder)
            result = _measured(name, model, corpus)
        write_result(
            f"digits/{name}",
            {**result, "cell": name, "steps": STEPS, "cpu_seconds": cpu_seconds(clock)},
        )
        print(f"{name}: written")


def corpus_of(name: str, work: Path) -> FramesCorpus:
    """What a cell is trained on, prepared in `work`."""
    if name == CLOSED:
        return _linear_gaussian(work)
    settings: dict[str, Any] = {"valid": 0.1, "test": 0.2}
    kind = "digits"
    if name == "binary":
        kind, settings["binarise"] = "binary", 0.5
    if name == "unseen-9":
        kind, settings["unseen"] = "unseen", (UNSEEN,)
    return prepare_digits(PrepareDigits(out=work / f"corpus-{kind}", **settings))


def _measured(name: str, model: FramesModel, corpus: FramesCorpus) -> dict[str, Any]:
    limit = MOST if name == CLOSED else None
    report = evaluate_frames(model.model, corpus, "test", limit=limit, progress=False)
    if name == CLOSED:
        return {"report": report, "closed_form": _closed_form(corpus)}
    if name == "unseen-9":
        return {"report": report, "auroc": _anomalies(model, corpus)}
    real, labels = pictures_of(corpus, "train")
    held, names = pictures_of(corpus, "test")
    classifier = classifier_of(real, labels)
    found: dict[str, Any] = {"report": report}
    found["referee_accuracy"] = accuracy(classifier, held, names)
    told = names if model.conditional else None
    again = np.stack(model.reconstruct(held, told))
    found["reconstruction_accuracy"] = accuracy(classifier, again, names)
    found["reconstructions"] = quality(again, real, held, classifier)
    found["samples"] = {}
    for temperature in TEMPERATURES:
        means = np.stack(model.sample(SAMPLES, temperature=temperature))
        found["samples"][f"means at {temperature:g}"] = quality(means, real, held, classifier)
    drawn = np.stack(model.sample(SAMPLES, draw=True))
    found["samples"]["draws at 1"] = quality(drawn, real, held, classifier)
    if model.conditional:
        asked = [model.labels[i % len(model.labels)] for i in range(SAMPLES)]
        found["label_accuracy"] = accuracy(classifier, np.stack(model.sample(SAMPLES)), asked)
    sheet = contact_sheet([list(held[:12]), list(again[:12]), *in_rows(model.sample(36), 12)])
    write_picture(FOLDER / f"{name}.png", sheet)
    return found


def pictures_of(corpus: FramesCorpus, split: str) -> tuple[Floats, list[str]]:
    """All pictures of a split, [N, T, F], and the names of their labels."""
    store = corpus.split(split)
    pictures = np.stack([store.sequence(i) for i in range(len(store))])
    return pictures, [corpus.labels[label] for label in store.labels]


def classifier_of(pictures: Floats, labels: list[str]) -> Classifier:
    """A support vector classifier of pictures [N, T, F]."""
    from sklearn.svm import SVC

    found: Classifier = SVC(gamma="scale").fit(pictures.reshape(len(pictures), -1), labels)
    return found


def accuracy(classifier: Classifier, pictures: Floats, labels: list[str]) -> float:
    """Share of pictures [N, T, F] that the classifier sees as their labels."""
    found = classifier.predict(pictures.reshape(len(pictures), -1))
    return float(np.mean(found == np.array(labels)))


def _anomalies(model: FramesModel, corpus: FramesCorpus) -> dict[str, float]:
    """How well scores tell the digit that was never seen from the others of the test split."""
    pictures, labels = pictures_of(corpus, "test")
    scores = model.score(pictures)
    assert scores.squared_error is not None  # there is a latent
    unseen = np.array(labels) == UNSEEN
    columns = {"nll_iw": scores.nll_iw, "elbo": scores.elbo, "squared error": scores.squared_error}
    return {
        name: auroc(values[~unseen].tolist(), values[unseen].tolist())
        for name, values in columns.items()
    }


def _loadings() -> npt.NDArray[np.float64]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((FRAMES * FEATURES, FACTORS))


def _linear_gaussian(work: Path) -> FramesCorpus:
    """x = W z + noise, z and noise normal: -log p(x) has a closed form."""
    generator = np.random.default_rng(1)
    loadings = _loadings()
    z = generator.standard_normal((20_000, FACTORS))
    values = z @ loadings.T + NOISE * generator.standard_normal((len(z), len(loadings)))
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "linear.npy", values.reshape(-1, FRAMES, FEATURES))
    config = PrepareFrames(inputs=(work / "linear.npy",), out=work / f"corpus-{CLOSED}")
    return prepare_frames(config)


def _closed_form(corpus: FramesCorpus) -> dict[str, float]:
    """-log p(x) of test sequences in nats, of the standardised numbers that the model's nats are of; and I(x; z)."""
    loadings, size = _loadings(), FRAMES * FEATURES
    covariance = loadings @ loadings.T + NOISE**2 * np.eye(size)
    pictures = _stacked(corpus).reshape(-1, size).astype(np.float64)
    squared = np.einsum("ni,ij,nj->n", pictures, np.linalg.inv(covariance), pictures)
    log_det = float(np.linalg.slogdet(covariance)[1])
    nats = 0.5 * (squared + log_det + size * math.log(2 * math.pi))
    units = FRAMES * float(np.log(corpus.std.astype(np.float64)).sum())
    ratio = np.eye(FACTORS) + loadings.T @ loadings / NOISE**2
    return {"nll": float(nats.mean()) - units, "mi": 0.5 * float(np.linalg.slogdet(ratio)[1])}


def _stacked(corpus: FramesCorpus) -> Floats:
    """The test sequences that are measured, [N, T, F]."""
    batches = frames_batches(corpus.split("test"), MOST, MOST)
    return np.concatenate([batch.values.numpy() for batch in batches])


def table() -> None:
    """Write docs/digits.md and the ledger's rows from the results there are."""
    found = {
        name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for name in cells()
        if (FOLDER / f"{name}.json").exists()
    }
    if not found:
        raise SystemExit("no results yet: python -m benchmarks.digits run")
    pictures = ROOT / "docs" / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    for name in found:
        if (FOLDER / f"{name}.png").exists():
            shutil.copyfile(FOLDER / f"{name}.png", pictures / f"digits-{name}.png")
    exported = RESULTS / "digits_exported.json"
    files = json.loads(exported.read_text(encoding="utf-8"))["cells"] if exported.exists() else None
    PAGE.write_text(page(found, files), encoding="utf-8")
    rows = ledger_rows(found)
    if rows:
        ledger("E", rows)
    print(f"{PAGE.relative_to(ROOT)}: {len(found)} cells, {len(rows)} rows of the ledger")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "table": table})
