"""`LatentModel`: what training and evaluation ask of a model, whatever its sequences are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.latent import Latent
from seqvae.likelihoods import Likelihood
from seqvae.nn.weighted_gradient import weighted_gradient
from seqvae.objectives import Gradient, Terms, latents_of
from seqvae.objectives.crossed import crossed_of
from seqvae.objectives.refine import Refine
from seqvae.posteriors import Posterior
from seqvae.priors import Prior

Write = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]]
"""From z [S, B, D] as the decoder reads it, and as it was drawn: -log p(x | z) in nats [S, B], and what training adds
to it, [B] each: penalties, and the same before their weights."""


class LatentModel(nn.Module, ABC):
    """Sequences, the latents behind them, and a decoder that writes them from those.

    Attributes:
        latent: the top level, if there is one.
        decoder: network from latents to states.
        likelihood: embedding of the values and their cost in nats.
        word_dropout: probability that what the decoder reads is hidden in training.
        refine: steps on each posterior, if there are any.
    """

    latent: Latent | None
    decoder: nn.Module
    likelihood: Likelihood
    word_dropout: float
    refine: Refine | None

    @property
    @abstractmethod
    def levels(self) -> dict[str, Latent]:
        """All latent levels by name, from the top down."""

    @abstractmethod
    def encode(self, batch: Batch) -> Posterior:
        """q(z | x) of the top level for every sequence.

        Raises:
            ValueError: the model has no such level.
        """

    @abstractmethod
    def refined(self, batch: Batch, draw: Callable[[Posterior], Tensor]) -> Posterior:
        """`encode`, and the steps of `refine`, on the samples [1, B, D] that `draw` takes of a posterior."""

    @abstractmethod
    def reconstruction(
        self, batch: Batch, z: Tensor | None, lower: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """-log p(x | z) in nats, shape [S, B].

        Args:
            batch: sequences.
            z: samples of the top level, [S, B, D]; None where there is none.
            lower: samples of the levels below by name, [S, B, T', D].
        """

    @abstractmethod
    def forward(
        self,
        batch: Batch,
        seed: Tensor,
        samples: int = 1,
        gradient: Gradient | None = None,
        aggregate: bool = False,
        crossed: bool = False,
    ) -> Terms:
        """The terms that objectives weigh.

        Args:
            batch: sequences.
            seed: 1-element int64 tensor that fixes the noise of z.
            samples: S, samples of z for each sequence.
            gradient: how the encoder of a model with one level learns from the weights of its samples;
                None: it does not.
            aggregate: whether samples of posteriors and prior are wanted, where there is one level.
            crossed: whether the densities of each z given every x of the batch are, all Gaussian.
        """

    def expected(self, prior: Prior, batch: Batch) -> Prior:
        """A prior as it is for each sequence of a batch, by what the model is told of them; by default the same for all."""
        return prior

    def need_latent(self) -> Latent:
        """The top level, or a `ValueError` when there is none."""
        if self.latent is None:
            raise ValueError("this model has no latent (it was trained with latent none)")
        return self.latent

    def _terms(
        self,
        name: str,
        posterior: Posterior,
        prior: Prior,
        write: Write,
        seed: Tensor,
        samples: int,
        gradient: Gradient | None,
        aggregate: bool,
        crossed: bool,
    ) -> Terms:
        """`forward` of a model with one level, called `name`, given q(z | x) and p(z)."""
        latent = self.need_latent()
        z, kl = prior.sample_posterior(posterior, seed, samples)
        path, log_ratio, drawn = None, None, z
        if gradient == "dreg":
            z, path = weighted_gradient(z)
        if samples > 1 or gradient is not None:
            log_ratio = latent.log_ratio(posterior, z, prior, score=gradient in (None, "naive"))
        reconstruction, penalties, auxiliary = write(z, drawn)
        return Terms(
            reconstruction,
            latent.by_level(name, kl),
            log_ratio,
            penalties=penalties,
            auxiliary=auxiliary,
            path=path,
            latents=latents_of(posterior, prior, z, seed) if aggregate else None,
            crossed=crossed_of(posterior, z) if crossed else None,
        )
