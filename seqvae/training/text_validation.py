"""What is measured of text at each validation: cheap, but enough to see a collapse."""

import math
from typing import Any, final

import numpy as np
import torch

from seqvae.batch import Batch
from seqvae.data.loader import Loader
from seqvae.data.storage import SequenceStore
from seqvae.latent_model import LatentModel
from seqvae.model import SequenceVAE
from seqvae.training.latent_validation import LatentSums, in_words
from seqvae.training.validation import Validation


@final
class TextValidation(Validation):
    """Measures a model on a fixed part of a split of texts.

    Args:
        store: the validation split.
        limit: sequences used, taken evenly over the split.
        tokens_per_batch: of one batch.
        max_length: longest sequence in tokens.
        pairs: whether targets are what is produced.
        device: where to compute.
        aggregate: whether all posteriors together are compared with the prior.
    """

    def __init__(
        self,
        store: SequenceStore,
        *,
        limit: int,
        tokens_per_batch: int,
        max_length: int,
        pairs: bool,
        device: torch.device,
        aggregate: bool = False,
    ) -> None:
        loader = Loader(
            store,
            tokens_per_batch=tokens_per_batch,
            seed=0,
            shuffle=False,
            max_length=max_length,
            pairs=pairs,
        )
        self.aggregate = aggregate
        every = max(1, math.ceil(len(store) / limit))
        self.batches: list[Batch] = []
        for indices in loader.epoch_batches(0):
            chosen = np.sort(indices)[np.sort(indices) % every == 0]
            if len(chosen):
                self.batches.append(Batch.from_raw(loader.collate(chosen)).to(device))

    def measure(self, model: LatentModel) -> dict[str, Any]:
        """See `Validation.measure`; nats per sequence, `kl_dimensions` the D dimensions' own KLs."""
        assert isinstance(model, SequenceVAE)
        tokens = sum(int(batch.predicted_tokens) for batch in self.batches)
        sums = LatentSums()
        for batch in self.batches:
            sums.add(model, batch)
        measured = sums.figures(model, mmd=self.aggregate)
        return {**measured, "bound_token": sums.bound / tokens}

    def in_words(self, measured: dict[str, Any]) -> str:
        """See `Validation.in_words`."""
        return in_words(measured)
