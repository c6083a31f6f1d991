"""What is measured of frames at each validation: cheap, but enough to see a collapse."""

from typing import Any, final

import torch

from seqvae.data.frames.store import FramesStore
from seqvae.evaluation.collapse import Aggregate, prior_reconstruction
from seqvae.evaluation.levels import by_level, level_kls
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.evaluation.prior_match import prior_mmd
from seqvae.frames_batch import frames_batches
from seqvae.model import SequenceVAE
from seqvae.training.validation import Validation

# Samples for the bound that picks the best weights: ln 8 = 2.1 nats tighter than the ELBO at most.
BOUND_SAMPLES = 8


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

    def measure(self, model: SequenceVAE) -> dict[str, Any]:
        """See `Validation.measure`; nats per sequence, `bound_dimension` those per number of it."""
        total = sum(batch.size for batch in self.batches)
        numbers = self.features * sum(int(batch.lengths.sum()) for batch in self.batches)
        aggregate = Aggregate()
        sums = {"bound": 0.0, "reconstruction": 0.0, "prior_reconstruction": 0.0}
        for batch in self.batches:
            nats = importance_weighted(model, batch, BOUND_SAMPLES)
            sums["bound"] += float(nats.double().sum())
            if model.latent is None:
                continue
            one = elbo(model, batch)
            assert one.posterior is not None
            aggregate.add(one.posterior, one.kl_dimensions)
            sums["reconstruction"] += float(one.reconstruction.double().sum())
            prior = prior_reconstruction(model, batch)
            sums["prior_reconstruction"] += float(prior.double().sum())
        measured: dict[str, Any] = {
            "bound": sums["bound"] / total,
            "bound_dimension": sums["bound"] / numbers,
        }
        if model.latent is None:
            return measured
        collapse = aggregate.diagnose()
        if self.aggregate:
            measured["mmd"] = prior_mmd(aggregate.posterior, model.latent.prior)
        reconstruction = sums["reconstruction"] / total
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
