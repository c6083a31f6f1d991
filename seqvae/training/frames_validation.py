"""What is measured of frames at each validation: cheap, but enough to see a collapse."""

from typing import Any, final

import torch

from seqvae.data.frames.store import FramesStore
from seqvae.frames_batch import frames_batches
from seqvae.latent_model import LatentModel
from seqvae.training.latent_validation import LatentSums, in_words
from seqvae.training.validation import Validation


@final
class FramesValidation(Validation):
    """Measures a model on a fixed part of a split of frames.

    Args:
        store: the split.
        limit: sequences used, spread evenly over it.
        batch: sequences of one batch.
        device: where to compute.
        aggregate: whether all posteriors together are compared with the prior.
    """

    def __init__(
        self,
        store: FramesStore,
        *,
        limit: int,
        batch: int,
        device: torch.device,
        aggregate: bool = False,
    ) -> None:
        self.aggregate = aggregate
        self.features = store.features
        self.batches = [part.to(device) for part in frames_batches(store, limit, batch)]

    def measure(self, model: LatentModel) -> dict[str, Any]:
        """See `Validation.measure`; nats per sequence, `bound_dimension` those per number of it."""
        numbers = self.features * sum(int(batch.lengths.sum()) for batch in self.batches)
        sums = LatentSums()
        for batch in self.batches:
            sums.add(model, batch)
        measured = sums.figures(model, mmd=self.aggregate)
        return {**measured, "bound_dimension": sums.bound / numbers}

    def in_words(self, measured: dict[str, Any]) -> str:
        """See `Validation.in_words`."""
        return in_words(measured)
