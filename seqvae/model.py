"""`SequenceVAE`: encoder, posterior, prior, decoder and likelihood, composed."""

import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.data.text import BLANK
from seqvae.decoders import Decoder
from seqvae.encoders import Encoder
from seqvae.likelihoods import Likelihood
from seqvae.objectives import Terms
from seqvae.posteriors import Posterior, PosteriorNetwork
from seqvae.priors import Prior

LEVEL = "sequence"


class Latent(nn.Module):
    """One latent level: who infers it and what is expected of it before anything is seen.

    Args:
        encoder: reads the sequence.
        posterior: q(z | x) from the encoder's summary.
        prior: p(z).
        embedding: the encoder's own, from values [B, T] to vectors; None: it reads the likelihood's.
    """

    def __init__(
        self,
        encoder: Encoder,
        posterior: PosteriorNetwork,
        prior: Prior,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.posterior, self.prior = encoder, posterior, prior
        self.embedding = embedding

    @property
    def dimension(self) -> int:
        """Size D of z."""
        return self.posterior.dimension


class SequenceVAE(nn.Module):
    """A variational autoencoder over sequences; variants are the values it is made of.

    Args:
        latent: encoder, posterior and prior; None makes it a language model of the same decoder.
        decoder: autoregressive network.
        likelihood: embedding of the values and their cost in nats.
        word_dropout: probability that a decoder input is blanked in training, so that the decoder
            leans on z (Bowman et al. 2016).
    """

    def __init__(
        self,
        latent: Latent | None,
        decoder: Decoder,
        likelihood: Likelihood,
        *,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.decoder = decoder
        self.likelihood = likelihood
        self.word_dropout = word_dropout

    def encode(self, batch: Batch) -> Posterior:
        """q(z | x) of every sequence.

        Raises:
            ValueError: the model has no latent.
        """
        summary = self.summarise(batch.encoder_values, batch.encoder_lengths)
        posterior: Posterior = self.need_latent().posterior(summary)
        return posterior

    def summarise(self, values: Tensor, lengths: Tensor) -> Tensor:
        """The encoder's summaries [B, H] of `values` [B, T], before the posterior.

        Raises:
            ValueError: the model has no latent.
        """
        latent = self.need_latent()
        embed = self.likelihood.embed if latent.embedding is None else latent.embedding
        summary: Tensor = latent.encoder(embed(values), lengths)
        return summary

    def need_latent(self) -> Latent:
        """The latent level, or a `ValueError` when this is a plain language model."""
        if self.latent is None:
            raise ValueError("this model has no latent (it was trained with latent none)")
        return self.latent

    def decode(self, values: Tensor, z: Tensor | None) -> Tensor:
        """Decoder states [B, T - 1, H] for `values` [B, T] given their own past and z [B, D]."""
        inputs = values[:, :-1]
        if self.training and self.word_dropout:
            drop = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
            drop[:, 0] = False  # the start token carries no information to hide
            inputs = torch.where(drop, BLANK, inputs)
        states: Tensor = self.decoder(self.likelihood.embed(inputs), z)
        return states

    def reconstruction(self, batch: Batch, z: Tensor | None) -> Tensor:
        """-log p(x | z) in nats for z [S, B, D] (or None), shape [S, B]."""
        samples = 1 if z is None else len(z)
        values = batch.values.repeat(samples, 1)
        lengths = batch.lengths.repeat(samples)
        states = self.decode(values, None if z is None else z.flatten(0, 1))
        return self.likelihood.nll(states, values, lengths).view(samples, -1)

    def forward(self, batch: Batch, seed: Tensor, samples: int = 1) -> Terms:
        """The terms that objectives weigh.

        Args:
            batch: sequences.
            seed: 1-element int64 tensor that fixes the noise of z.
            samples: S, samples of z for each sequence.
        """
        if self.latent is None:
            return Terms(self.reconstruction(batch, None))
        posterior = self.encode(batch)
        z, kl = self.latent.prior.sample_posterior(posterior, seed, samples)
        log_ratio = None
        if samples > 1:
            log_ratio = self.latent.prior.log_prob(z) - posterior.log_prob(z)
        return Terms(self.reconstruction(batch, z), {LEVEL: kl}, log_ratio)
