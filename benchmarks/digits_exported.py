"""Trained models of digits exported: how far the graphs are from PyTorch, how fast they are, and digits under other labels.

    python -m benchmarks.digits_exported [--work runs/digits]

Needs `pip install 'seqvae[digits]'`. Every export compares its graphs with PyTorch and refuses to write what fails; here the
figures are kept, and those of all held-out digits beside them. A digit is read under its own label and written
under each of the nine others; the classifier of `benchmarks.digits` says what it looks like. Models that
`benchmarks.digits` has not left in the folder are trained, 30 CPU-seconds each. Times are those of one thread, the
graph and PyTorch in one run. Result: benchmarks/results/digits_exported.json.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.digits import accuracy, cells, classifier_of, corpus_of, pictures_of
from benchmarks.digits_page import STEPS
from benchmarks.record import ROOT, write_result
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.export.frames_export import export_frames
from seqvae.export.frames_verify import COLUMNS
from seqvae.export.verify import table
from seqvae.preset_frames import frames_preset
from seqvae.serving import FramesEngine
from seqvae.tasks.frames_model import FramesModel
from seqvae.training import load_frames, train

RESULT = "digits_exported"
CELLS = ("conditional", "normal", "autoregressive")


def measure(work: Path = ROOT / "runs" / "digits") -> None:
    """Train what is not there, export, compare, record.

    Args:
        work: folder for corpora and runs.
    """
    found = {}
    for name in CELLS:
        corpus = corpus_of(name, work)
        found[name] = _measured(_trained(name, corpus, work / name), corpus)
    print(table({name: one["verify"] for name, one in found.items()}, COLUMNS))
    path = write_result(RESULT, {"steps": STEPS, "cells": found})
    print(f"{path.relative_to(ROOT)}: {len(found)} cells")


def _trained(name: str, corpus: FramesCorpus, run: Path) -> FramesModel:
    base = frames_preset("tiny")
    training = replace(base.training, steps=STEPS, threads=1, device="cpu")
    train(
        replace(base, data=str(corpus.path), run=str(run), model=cells()[name], training=training)
    )
    return load_frames(run)


def _measured(model: FramesModel, corpus: FramesCorpus) -> dict[str, Any]:
    held, names = pictures_of(corpus, "test")
    told = names if model.conditional else None
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_frames(model, Path(folder) / "bundle")
        engine = FramesEngine(bundle, provider="cpu", threads=1)
        again = np.stack(engine.reconstruct(held, told))
        found: dict[str, Any] = {
            "verify": bundle.variants[bundle.default_variant].verify,
            "digits": len(held),
            "greatest_difference": float(
                np.abs(again - np.stack(model.reconstruct(held, told))).max()
            ),
            "squared_error": float(np.square(again - held).mean()),
        }
        if model.conditional:
            classifier = classifier_of(*pictures_of(corpus, "train"))
            count = len(model.labels)
            shares = []
            for shift in range(1, count):
                targets = [model.labels[(model.labels.index(n) + shift) % count] for n in names]
                switched = np.stack(engine.reconstruct(held, names, targets=targets))
                shares.append(accuracy(classifier, switched, targets))
            found["own_label"] = accuracy(classifier, again, names)
            found["other_label"] = float(np.mean(shares))
    return found


if __name__ == "__main__":
    tyro.cli(measure)
