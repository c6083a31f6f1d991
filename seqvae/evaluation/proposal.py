"""How much wider than the posteriors the samples behind a likelihood should lie."""

import math
from collections.abc import Iterable

import numpy as np

from seqvae.batch import Batch
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.evaluation.likelihood import evaluating, importance_weighted
from seqvae.model import SequenceVAE
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.tasks.text_model import TextModel

WIDTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
SEQUENCES = 100
"""Of the validation split."""
SAMPLES = 32
"""Enough to see which width is best: on toys the same one is best for 20 samples and for 500."""


def best_width(model: SequenceVAE, batches: Iterable[Batch], samples: int = SAMPLES) -> float:
    """Which of `WIDTHS` gives the tightest bound; see `seqvae.evaluation.likelihood.widened`.

    To be found on other sequences than those that are judged: the least of many estimates flatters.

    Args:
        model: a text model; 0.0 for one whose posteriors are no diagonal Gaussians.
        batches: sequences on the model's device.
        samples: of each.
    """
    found = list(batches)
    if model.latent is None or not found:
        return 0.0
    with evaluating(model):
        if not isinstance(model.encode(found[0]), DiagonalGaussian):
            return 0.0

    def bound(width: float) -> float:
        return sum(
            float(importance_weighted(model, batch, samples, widen=width).double().sum())
            for batch in found
        )

    return min(WIDTHS, key=bound)


def run_width(trained: TextModel, corpus: Corpus) -> float:
    """`best_width` on the validation split, for a run whose objective leaves posteriors too narrow; else 0.0."""
    experiment = trained.info["experiment"]
    if trained.model.latent is None or not experiment.objective.build().aggregate:
        return 0.0
    return best_width(trained.model, validation_batches(trained, corpus))


def validation_batches(trained: TextModel, corpus: Corpus) -> list[Batch]:
    """About `SEQUENCES` of the validation split, evenly spread."""
    pairs = bool(trained.info["pairs"])
    longest = trained.info["experiment"].text.max_length
    store = corpus.split("valid")
    loader = Loader(
        store, tokens_per_batch=8192, seed=0, shuffle=False, max_length=longest, pairs=pairs
    )
    rows = loader.epoch_batches(0)
    every = max(1, math.ceil(len(store) / SEQUENCES))
    chosen = [kept for kept in (np.sort(indices)[::every] for indices in rows) if len(kept)]
    return [Batch.from_raw(loader.collate(kept)).to(trained.device) for kept in chosen]
