"""`FramesVAE`: one latent vector for a sequence of frames of numbers."""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.decoders import SeriesDecoder, StepSeries
from seqvae.latent import LEVEL, Latent
from seqvae.latent_model import LatentModel
from seqvae.likelihoods import FrameLikelihood
from seqvae.objectives import Gradient, Terms
from seqvae.posteriors import Posterior


@final
class FramesVAE(LatentModel):
    """A variational autoencoder over sequences of frames, with one vector for the whole sequence.

    With labels it is conditional (Sohn et al. 2015, "Learning Structured Output Representation using Deep
    Conditional Generative Models"): the decoder and the posterior know the label, z is what else there is.

    Args:
        latent: of the sequence; None: each frame is expected from those before it alone.
        decoder: from z (and the frames so far) to states.
        likelihood: what a frame costs.
        frame_dropout: probability that a frame which the decoder reads is hidden in training, so that it
            leans on z (for frames what Bowman et al. 2016 do to words).
        labels: vectors of the labels; None: not conditional.
    """

    decoder: SeriesDecoder
    likelihood: FrameLikelihood

    def __init__(
        self,
        latent: Latent | None,
        decoder: SeriesDecoder,
        likelihood: FrameLikelihood,
        *,
        frame_dropout: float = 0.0,
        labels: nn.Embedding | None = None,
    ) -> None:
        super().__init__()
        self.latent, self.decoder, self.likelihood = latent, decoder, likelihood
        self.word_dropout, self.refine = frame_dropout, None
        self.labels = labels
        self.told: nn.Linear | None = None
        if labels is not None and latent is not None:
            self.told = nn.Linear(labels.embedding_dim, latent.encoder.width)

    @property
    def levels(self) -> dict[str, Latent]:
        """See `LatentModel.levels`."""
        return {} if self.latent is None else {LEVEL: self.latent}

    def encode(self, batch: Batch) -> Posterior:
        """See `LatentModel.encode`; given the label too where the model has labels."""
        latent = self.need_latent()
        summary = latent.encoder(self.likelihood.embed(batch.encoder_values), batch.encoder_lengths)
        if self.told is not None:
            summary = summary + self.told(self._label_vectors(batch.labels))
        posterior: Posterior = latent.posterior(summary)
        return posterior

    def refined(self, batch: Batch, draw: Callable[[Posterior], Tensor]) -> Posterior:
        """See `LatentModel.refined`; there are no steps."""
        return self.encode(batch)

    def reconstruction(
        self, batch: Batch, z: Tensor | None, lower: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `LatentModel.reconstruction`; there are no levels below."""
        samples = 1 if z is None else len(z)
        values = batch.values.repeat(samples, 1, 1)
        lengths = batch.lengths.repeat(samples)
        labels = None if batch.labels is None else batch.labels.repeat(samples)
        flat = None if z is None else z.flatten(0, 1)
        states = self.states(values, lengths, flat, labels)
        return self.likelihood.nll(states, values, lengths).view(samples, -1)

    def forward(
        self,
        batch: Batch,
        seed: Tensor,
        samples: int = 1,
        gradient: Gradient | None = None,
        aggregate: bool = False,
        crossed: bool = False,
    ) -> Terms:
        """See `LatentModel.forward`."""
        if self.latent is None:
            return Terms(self.reconstruction(batch, None))
        return self._terms(
            LEVEL,
            self.encode(batch),
            self.latent.prior,
            lambda z, drawn: (self.reconstruction(batch, z), {}, {}),
            seed,
            samples,
            gradient,
            aggregate,
            crossed,
        )

    def states(
        self, values: Tensor, lengths: Tensor, z: Tensor | None, labels: Tensor | None = None
    ) -> Tensor:
        """Decoder states [B, T, H], of which state t is for frame t.

        Args:
            values: frames, shape [B, T, F], of which a decoder that is not autoregressive sees how many they are.
            lengths: valid ones, shape [B].
            z: shape [B, D].
            labels: numbers, shape [B]; needed where the model has labels.
        """
        x = self.likelihood.embed(values)
        if self.training and self.word_dropout and self.decoder.autoregressive:
            kept = torch.rand(x.shape[:2], device=x.device) >= self.word_dropout
            x = x * kept[..., None]
        found: Tensor = self.decoder(x, self._vector(z, labels), lengths)
        return found

    @torch.inference_mode()
    def write(
        self,
        z: Tensor | None,
        lengths: Tensor,
        labels: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Frames [B, T, F], zero behind their lengths [B].

        Args:
            z: shape [B, D]; None for a model without a latent.
            lengths: frames to write.
            labels: numbers, shape [B]; needed where the model has labels.
            noise: probabilities [B, T, F], uniform draws from (0, 1): frames are these quantiles of what the
                model expects, so draws of it. None: its means.
        """
        rows, most = len(lengths), int(lengths.max())
        if most > self.decoder.longest:
            raise ValueError(f"{most} frames, this model writes at most {self.decoder.longest}")
        real = torch.arange(most, device=lengths.device)[None, :] < lengths[:, None]
        if isinstance(self.decoder, StepSeries) and self.decoder.autoregressive:
            frames = self._step_by_step(self._vector(z, labels), rows, most, noise)
        else:
            blank = torch.zeros(rows, most, 1, device=lengths.device)
            frames = self._frames(self.decoder(blank, self._vector(z, labels), lengths), noise)
        return frames * real[..., None]

    def _step_by_step(
        self, vector: Tensor | None, rows: int, most: int, noise: Tensor | None
    ) -> Tensor:
        assert isinstance(self.decoder, StepSeries)
        state = self.decoder.decoder.start(vector, rows, most)
        written: list[Tensor] = []
        for place in range(most):
            last = self.likelihood.embed(written[-1]) if written else None
            hidden = self.decoder.step(last, state, rows)
            at = None if noise is None else noise[:, place : place + 1]
            written.append(self._frames(hidden[:, None], at)[:, 0])
        return torch.stack(written, 1)

    def _frames(self, states: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            return self.likelihood.mean(states)
        return self.likelihood.quantile(states, noise)

    def _vector(self, z: Tensor | None, labels: Tensor | None) -> Tensor | None:
        """What the decoder is told: z, and the label's vector."""
        if self.labels is None:
            return z
        told = self._label_vectors(labels)
        return told if z is None else torch.cat([z, told], -1)

    def _label_vectors(self, labels: Tensor | None) -> Tensor:
        if labels is None or self.labels is None:
            raise ValueError("this model needs the label of each sequence")
        found: Tensor = self.labels(labels)
        return found
