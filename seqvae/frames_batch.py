"""Sequences of a store as batches, in evaluation and training alike."""

from collections.abc import Iterator

import numpy as np
import torch

from seqvae.batch import Batch
from seqvae.data.frames.sequences import Longs
from seqvae.data.frames.store import FramesStore


def frames_batch(store: FramesStore, indices: Longs) -> Batch:
    """These sequences, with their labels."""
    values, lengths = store.padded(indices)
    labels = torch.from_numpy(store.labels[indices])
    return Batch(torch.from_numpy(values), torch.from_numpy(lengths), labels)


def frames_batches(store: FramesStore, limit: int | None, size: int) -> Iterator[Batch]:
    """At most `limit` sequences spread evenly over a split, `size` at a time, near each other in length."""
    count = len(store) if limit is None else min(limit, len(store))
    chosen = np.unique(np.linspace(0, len(store) - 1, count).round().astype(np.int64))
    chosen = chosen[np.argsort(store.frames[chosen], kind="stable")]
    for start in range(0, len(chosen), size):
        yield frames_batch(store, chosen[start : start + size])
