"""What a validation measures of one latent a sequence, whatever the sequences are: gathered batch by batch, told in a line."""

from collections.abc import Mapping
from typing import Any

from seqvae.batch import Batch
from seqvae.evaluation.collapse import Aggregate, prior_reconstruction
from seqvae.evaluation.levels import by_level, level_kls
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.evaluation.prior_match import prior_mmd
from seqvae.latent_model import LatentModel

BOUND_SAMPLES = 8
"""For the bound that picks the best weights: ln 8 = 2.1 nats tighter than the ELBO at most."""


class LatentSums:
    """Nats of all batches so far, and what their latents say together."""

    def __init__(self) -> None:
        self.bound, self._count = 0.0, 0
        self._reconstruction = self._from_prior = 0.0
        self._aggregate = Aggregate()

    def add(self, model: LatentModel, batch: Batch) -> None:
        """Measure a batch."""
        self._count += batch.size
        self.bound += float(importance_weighted(model, batch, BOUND_SAMPLES).double().sum())
        if model.latent is None:
            return
        one = elbo(model, batch)
        assert one.posterior is not None
        self._aggregate.add(one.posterior, one.kl_dimensions)
        self._reconstruction += float(one.reconstruction.double().sum())
        self._from_prior += float(prior_reconstruction(model, batch).double().sum())

    def figures(self, model: LatentModel, *, mmd: bool) -> dict[str, Any]:
        """Nats per sequence, `kl_dimensions` the D dimensions' own KLs; `bound` alone without a latent.

        Args:
            model: that was measured.
            mmd: whether all posteriors together are compared with the prior.
        """
        measured: dict[str, Any] = {"bound": self.bound / self._count}
        if model.latent is None:
            return measured
        collapse = self._aggregate.diagnose()
        if mmd:
            measured["mmd"] = prior_mmd(self._aggregate.posterior, model.latent.prior)
        reconstruction = self._reconstruction / self._count
        return {
            **measured,
            "elbo": reconstruction + collapse.kl,
            "reconstruction": reconstruction,
            "kl": collapse.kl,
            "mi": collapse.mi,
            "mi_cap": collapse.mi_cap,
            "prior_gap": self._from_prior / self._count - reconstruction,
            "active_units": collapse.au,
            "dimensions": collapse.dimension,
            "kl_dimensions": collapse.kl_by_dimension.tolist(),
            **by_level(model.latent, self._aggregate),
        }


def in_words(measured: Mapping[str, Any]) -> str:
    """The line of a validation."""
    if "kl" not in measured:
        return f"validation NLL {measured['bound']:.2f} nats a sequence"
    levels = level_kls(measured)
    split = f" ({' + '.join(f'{nats:.2f}' for nats in levels)})" if levels else ""
    return (
        f"bound {measured['bound']:.2f} nats, KL {measured['kl']:.2f}{split}, MI {measured['mi']:.2f} of "
        f"{measured['mi_cap']:.2f}, {measured['active_units']:.0f}/{measured['dimensions']:.0f} "
        f"units active, prior gap {measured['prior_gap']:.2f}"
    )
