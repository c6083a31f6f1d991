"""`SequenceVAE`: latent levels, decoder and likelihood, composed."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from seqvae.batch import Batch, unpadded
from seqvae.conditioning import Conditioning
from seqvae.data.text import BLANK
from seqvae.decoders import Decoder, FrameDecoder
from seqvae.encoders import PitchReader
from seqvae.latent import CONTENT, LEVEL, PITCH, Latent
from seqvae.latent_model import LatentModel
from seqvae.likelihoods import FrameLikelihood, Likelihood
from seqvae.objectives import Gradient, Terms
from seqvae.objectives.bag_of_words import BAG_OF_WORDS, BagOfWords
from seqvae.objectives.fraternal import FRATERNAL, disagreement
from seqvae.objectives.refine import Refine, negative_elbo_by_row
from seqvae.posteriors import Posterior
from seqvae.priors import Prior


@final
class SequenceVAE(LatentModel):
    """A variational autoencoder over sequences; variants are the values it is made of.

    With a `Decoder` it writes tokens one after the other, given their own past and one vector. With a
    `FrameDecoder` it writes all frames at once, given the level `content` and a condition: the vector
    of the level `style`, the row of a table for the label (the speaker), or both.

    Args:
        latent: the top level; None makes it a language model of the same decoder, or a speech model
            that knows its speakers by the table alone.
        decoder: network from latents to states.
        likelihood: embedding of the values and their cost in nats.
        word_dropout: probability that a decoder input is blanked in training, so that the decoder
            leans on z (Bowman et al. 2016).
        lower: further levels by name, from the top down.
        labels: vectors of the labels, for the condition.
        name: of the top level.
        frame_seconds: duration of a step, for rates in bit/s; None where steps have none.
        pitch: reads from the frames what the frame decoder is told of the pitch, or None.
        conditioning: tells a text model the labels: it is conditional then, and where one is known
            (`seqvae.given_model.given`) what any other text model is.
        bag_of_words: of a text model; this and the next two: see `seqvae.config.Model`.
    """

    decoder: Decoder | FrameDecoder

    def __init__(
        self,
        latent: Latent | None,
        decoder: Decoder | FrameDecoder,
        likelihood: Likelihood,
        *,
        word_dropout: float = 0.0,
        lower: Mapping[str, Latent] | None = None,
        labels: nn.Embedding | None = None,
        name: str = LEVEL,
        frame_seconds: float | None = None,
        pitch: PitchReader | None = None,
        conditioning: Conditioning | None = None,
        bag_of_words: BagOfWords | None = None,
        fraternal: float = 0.0,
        refine: Refine | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.decoder = decoder
        self.likelihood = likelihood
        self.word_dropout = word_dropout
        self.lower = nn.ModuleDict(dict(lower or {}))
        self.labels = labels
        self.name = name
        self.frame_seconds = frame_seconds
        self.pitch = pitch
        self.conditioning = conditioning
        self.bag_of_words = bag_of_words
        self.fraternal, self.refine = fraternal, refine

    @property
    def levels(self) -> dict[str, Latent]:
        """See `LatentModel.levels`."""
        top = {} if self.latent is None else {self.name: self.latent}
        return {**top, **self.lower}  # type: ignore[dict-item]

    def encode(self, batch: Batch) -> Posterior:
        """See `LatentModel.encode`."""
        summary = self.summarise(batch.encoder_values, batch.encoder_lengths)
        if self.conditioning is not None:
            summary = self.conditioning.summary(summary, batch)
        posterior: Posterior = self.need_latent().posterior(summary)
        return posterior

    def refined(self, batch: Batch, draw: Callable[[Posterior], Tensor]) -> Posterior:
        """See `LatentModel.refined`."""
        posterior = self.encode(batch)
        if self.refine is None:
            return posterior
        prior, written = self.need_latent().prior, partial(self.reconstruction, batch)
        return self.refine(posterior, negative_elbo_by_row(prior, draw, written))

    def expected(self, prior: Prior, batch: Batch) -> Prior:
        """See `LatentModel.expected`."""
        if self.conditioning is None:
            return prior
        return self.conditioning.expected(prior, batch.labels, batch.attributes)

    def summarise(self, values: Tensor, lengths: Tensor) -> Tensor:
        """The encoder's summaries [B, H] of `values` [B, T], before the posterior.

        Raises:
            ValueError: the model has no latent.
        """
        latent = self.need_latent()
        summary: Tensor = latent.encoder(self._embedded(latent, values), lengths)
        return summary

    def need_token_decoder(self) -> Decoder:
        """The decoder that writes step by step, or a `TypeError` when this is a speech model."""
        if not isinstance(self.decoder, Decoder):
            raise TypeError("this model writes frames, not tokens: it is a speech model")
        return self.decoder

    def content(self, values: Tensor, lengths: Tensor | None = None) -> Posterior:
        """q(content | x) over [T', D] of log-mel frames [B, T, mels]; all valid without `lengths`."""
        return self._infer(self.levels[CONTENT], values, lengths)

    def style(self, values: Tensor, lengths: Tensor | None = None) -> Posterior:
        """q(style | x) over vectors of log-mel frames [B, T, mels]; all valid without `lengths`.

        Raises:
            ValueError: the model has no such level: its speakers are rows of a table.
        """
        return self._infer(self.need_latent(), values, lengths)

    def condition(self, style: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """What the frame decoder hears of the voice, [B, C].

        Args:
            style: vectors of the level `style`, [B, D].
            labels: speakers, rows of the table, [B].

        Raises:
            ValueError: the model needs what is missing.
        """
        parts = []
        if self.latent is not None:
            if style is None:
                raise ValueError("this model needs a style vector")
            parts.append(style)
        if self.labels is not None:
            if labels is None:
                raise ValueError("this model needs the speaker, a row of its table")
            parts.append(self.labels(labels))
        return torch.cat(parts, -1)

    def contour(self, values: Tensor, lengths: Tensor | None = None) -> Tensor | None:
        """The pitch, [B, T, 3], of log-mel frames [B, T, mels]; see `seqvae.data.speech.pitch.pitch_contour`.

        None: the model reads no pitch.
        """
        if self.pitch is None:
            return None
        return self.pitch.contour(self.likelihood.embed(values), lengths)

    def frames(
        self,
        content: Tensor,
        condition: Tensor,
        frames: int,
        pitch: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Log-mel frames [B, T, mels] of content [B, T', D] in the voice of `condition` [B, C].

        Args:
            content: z of the level `content`.
            condition: see `condition`.
            frames: T, at most T' * stride.
            pitch: see `contour`; needed where the model reads pitch.
            lengths: valid frames of each row, [B]; None: all are.
        """
        assert isinstance(self.likelihood, FrameLikelihood)
        return self.likelihood.mean(self.decoder(content, condition, frames, pitch, lengths))

    def decode(self, values: Tensor, z: Tensor | None) -> Tensor:
        """Decoder states [B, T - 1, H] for `values` [B, T] given their own past and z [B, D]."""
        inputs = values[:, :-1]
        if self.training and self.word_dropout:
            drop = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
            drop[:, 0] = False  # the start token carries no information to hide
            inputs = torch.where(drop, BLANK, inputs)
        states: Tensor = self.decoder(self.likelihood.embed(inputs), z)
        return states

    def reconstruction(
        self, batch: Batch, z: Tensor | None, lower: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `LatentModel.reconstruction`."""
        if lower:
            lengths = unpadded(batch.values, batch.lengths)
            return self._frame_reconstruction(batch, z, lower[CONTENT], lengths)
        states, values, lengths = self._states(batch, z)
        return self.likelihood.nll(states, values, lengths).view(-1, batch.size)

    def _states(self, batch: Batch, z: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Decoder states [S * B, T - 1, H], and the values and lengths that they are of, S times each."""
        samples = 1 if z is None else len(z)
        values = batch.values.repeat(samples, 1)
        vector = None if z is None else z.flatten(0, 1)
        if self.conditioning is not None:
            vector = self.conditioning.join(vector, batch)
        return self.decode(values, vector), values, batch.lengths.repeat(samples)

    def _written(
        self, batch: Batch, z: Tensor | None, drawn: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """`reconstruction` of text, and what training adds: its penalties, and the same before their weights."""
        added, weights = {}, {FRATERNAL: self.fraternal}
        if not self.training or not self.fraternal:
            reconstruction = self.reconstruction(batch, z)
        else:
            (first, values, lengths), (second, _, _) = (self._states(batch, z) for _ in "12")
            both = [self.likelihood.nll(each, values, lengths) for each in (first, second)]
            reconstruction = torch.stack(both).mean(0).view(-1, batch.size)
            apart = disagreement(first, second, self.likelihood, lengths)
            added[FRATERNAL] = apart.view(-1, batch.size).mean(0)
        if self.training and self.bag_of_words is not None and drawn is not None:
            added[BAG_OF_WORDS] = self.bag_of_words(drawn, batch.values, batch.lengths)
            weights[BAG_OF_WORDS] = self.bag_of_words.weight
        return reconstruction, {n: weights[n] * cost for n, cost in added.items()}, added

    def forward(
        self,
        batch: Batch,
        seed: Tensor,
        samples: int = 1,
        gradient: Gradient | None = None,
        aggregate: bool = False,
        crossed: bool = False,
    ) -> Terms:
        """See `LatentModel.forward`; of speech without what comes after `samples`."""
        if self.lower:
            return self._frame_terms(batch, seed, samples)
        if self.latent is None:
            reconstruction, penalties, auxiliary = self._written(batch, None)
            return Terms(reconstruction, penalties=penalties, auxiliary=auxiliary)
        posterior = self.refined(batch, lambda q: q.sample(seed))
        prior = self.expected(self.latent.prior, batch)
        write = partial(self._written, batch)
        return self._terms(
            self.name, posterior, prior, write, seed, samples, gradient, aggregate, crossed
        )

    def _embedded(self, latent: Latent, values: Tensor) -> Tensor:
        embed = self.likelihood.embed if latent.embedding is None else latent.embedding
        embedded: Tensor = embed(values)
        return embedded

    def _infer(self, level: Latent, values: Tensor, lengths: Tensor | None) -> Posterior:
        return level.infer(self._embedded(level, values), lengths)

    def _frame_terms(self, batch: Batch, seed: Tensor, samples: int) -> Terms:
        """`forward` of a model of frames.

        The content is read from the batch's source (warped or noisy, where there is one), the style
        from the frames themselves or what is heard of them: the voice to be written is that of the frames.
        """
        zs: dict[str, Tensor] = {}
        kls: dict[str, Tensor] = {}
        penalties: dict[str, Tensor] = {}
        ratios = []
        lengths = unpadded(batch.values, batch.lengths)
        heard = batch.values if batch.heard is None else batch.heard
        source_lengths = unpadded(batch.encoder_values, batch.encoder_lengths)
        for stream, (name, level) in enumerate(self.levels.items()):
            if level.scope == "frame":
                posterior = self._infer(level, batch.encoder_values, source_lengths)
            else:
                posterior = self._infer(level, heard, lengths)
            items = batch.items if self.training and level.scope == "sequence" else None
            zs[name], kls[name] = level.prior.sample_posterior(
                posterior, seed, samples, stream, items
            )
            penalty = level.prior.penalty(posterior, items)
            if penalty is not None:
                penalties[name] = penalty
            if samples > 1:
                ratios.append(level.log_ratio(posterior, zs[name]))
        if self.pitch is not None and batch.pitch is not None:
            embedded = self.likelihood.embed(heard)
            penalties[PITCH] = self.pitch.nll(embedded, batch.pitch, lengths)
        seconds = None
        if self.frame_seconds is not None:
            seconds = batch.lengths * self.frame_seconds
        return Terms(
            self._frame_reconstruction(batch, zs.get(self.name), zs[CONTENT], lengths),
            kls,
            torch.stack(ratios).sum(0) if ratios else None,
            seconds,
            penalties,
        )

    def _frame_reconstruction(
        self, batch: Batch, style: Tensor | None, content: Tensor, lengths: Tensor | None
    ) -> Tensor:
        samples = len(content)
        values = batch.values.repeat(samples, 1, 1)
        condition = self.condition(
            None if style is None else style.flatten(0, 1),
            None if batch.labels is None else batch.labels.repeat(samples),
        )
        pitch = self._told_pitch(batch, lengths)
        states = self.decoder(
            content.flatten(0, 1),
            condition,
            values.shape[1],
            None if pitch is None else pitch.repeat(samples, 1, 1),
            None if lengths is None else lengths.repeat(samples),
        )
        assert isinstance(self.likelihood, FrameLikelihood)
        lengths = None if lengths is None else lengths.repeat(samples)
        return self.likelihood.nll(states, values, lengths).view(samples, -1)

    def _told_pitch(self, batch: Batch, lengths: Tensor | None) -> Tensor | None:
        """The contour that the decoder is told, [B, T, 3]: the tracked one where there is one."""
        if self.pitch is None or batch.pitch is None:
            contour = self.contour(batch.values, lengths)
            # The reader learns from tracked pitch alone.
            return None if contour is None else contour.detach()
        return batch.pitch
