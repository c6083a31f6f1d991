"""What is measured of text at each validation: cheap, but enough to see a collapse."""

import math
from typing import Any, final

import numpy as np
import torch

from seqvae.batch import Batch
from seqvae.data.loader import Loader
from seqvae.data.storage import SequenceStore
from seqvae.evaluation.collapse import Aggregate, prior_reconstruction
from seqvae.evaluation.levels import by_level, level_kls
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.evaluation.prior_match import prior_mmd
from seqvae.model import SequenceVAE
from seqvae.training.validation import Validation

# Samples for the bound that picks the best weights: ln 8 = 2.1 nats tighter than the ELBO at most.
BOUND_SAMPLES = 8


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

    def measure(self, model: SequenceVAE) -> dict[str, Any]:
        """See `Validation.measure`; nats per sequence, `kl_dimensions` the D dimensions' own KLs."""
        total = sum(batch.size for batch in self.batches)
        tokens = sum(int(batch.predicted_tokens) for batch in self.batches)
        aggregate = Aggregate()
        sums = {"bound": 0.0, "reconstruction": 0.0, "prior_reconstruction": 0.0}
        for network, batch in (one for each in self.batches for one in model.by_label(each)):
            nats = importance_weighted(network, batch, BOUND_SAMPLES)
            sums["bound"] += float(nats.double().sum())
            if model.latent is None:
                continue
            one = elbo(network, batch)
            assert one.posterior is not None
            aggregate.add(one.posterior, one.kl_dimensions)
            prior = prior_reconstruction(network, batch)
            sums["reconstruction"] += float(one.reconstruction.double().sum())
            sums["prior_reconstruction"] += float(prior.double().sum())
        bound = sums["bound"] / total
        measured: dict[str, Any] = {"bound": bound, "bound_token": bound * total / tokens}
        if model.latent is None:
            return measured
        collapse = aggregate.diagnose()
        reconstruction = sums["reconstruction"] / total
        if self.aggregate:
            measured["mmd"] = prior_mmd(aggregate.posterior, model.latent.prior)
        return {
            **measured,
            "elbo": reconstruction + collapse.kl,
            "reconstruction": reconstruction,
            "kl": collapse.kl,
            "mi": collapse.mi,
            "mi_cap": collapse.mi_cap,
            "prior_gap": sums["prior_reconstruction"] / total - reconstruction,
            "active_units": collapse.au,
            "dimensions": collapse.dimension,
            "kl_dimensions": collapse.kl_by_dimension.tolist(),
            **by_level(model.latent, aggregate),
        }

    def in_words(self, measured: dict[str, Any]) -> str:
        """See `Validation.in_words`."""
        if "kl" not in measured:
            return f"validation NLL {measured['bound']:.2f} nats a sequence"
        levels = level_kls(measured)
        split = f" ({' + '.join(f'{nats:.2f}' for nats in levels)})" if levels else ""
        return (
            f"bound {measured['bound']:.2f} nats, KL {measured['kl']:.2f}{split}, MI {measured['mi']:.2f} of "
            f"{measured['mi_cap']:.2f}, {measured['active_units']:.0f}/{measured['dimensions']:.0f} "
            f"units active, prior gap {measured['prior_gap']:.2f}"
        )
