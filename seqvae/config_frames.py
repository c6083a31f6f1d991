"""The networks of a run on frames of numbers: the counterpart of `Model` for images as rows and time series."""

from dataclasses import dataclass, field

from torch import nn

from seqvae import decoders, encoders
from seqvae.data.frames.noise import FrameNoise
from seqvae.decoders import DecoderChoice, FilmConv, FilmSeries, SeriesDecoder, StepSeries
from seqvae.decoders.series import FILM_STRIDE, PLACES
from seqvae.encoders import EncoderChoice, StyleChoice
from seqvae.errors import UserError
from seqvae.latent import Latent
from seqvae.likelihoods import Bernoulli, SeriesLikelihoodChoice
from seqvae.likelihoods.frame_likelihood import Statistics
from seqvae.model_frames import FramesVAE
from seqvae.posteriors import Gaussian, PosteriorChoice
from seqvae.priors import PriorChoice, Standard
from seqvae.priors.pairs import build_prior
from seqvae.priors.vamp import VampPrior


@dataclass(frozen=True)
class Frames:
    """The networks of a model of frames: one vector for each sequence."""

    encoder: EncoderChoice | StyleChoice = field(
        default_factory=lambda: encoders.Gru(width=128, dropout=0.0)
    )
    """Reads the frames into a summary."""
    posterior: PosteriorChoice = field(default_factory=lambda: Gaussian(dimension=16))
    """What the summary says of z."""
    prior: PriorChoice = field(default_factory=Standard)
    """What is expected of z before anything is read."""
    decoder: DecoderChoice | FilmConv = field(
        default_factory=lambda: decoders.Gru(width=128, dropout=0.0)
    )
    """Writes the frames given z."""
    autoregressive: bool = False
    """Whether each frame is written given those before it. It may then learn to do without z; all at once,
    z is all that the decoder knows."""
    likelihood: SeriesLikelihoodChoice = field(default_factory=Bernoulli)
    """What a frame costs; Bernoulli is for numbers from 0 to 1."""
    frame_dropout: float = 0.0
    """Probability that a frame which the decoder reads is hidden in training."""
    noise: FrameNoise = field(default_factory=FrameNoise)
    """Noise in what the encoder reads, to train a denoiser."""
    conditional: bool = False
    """Whether decoder and posterior are told each sequence's label, so that z holds what else there is."""
    label_width: int = 16
    """Size of a label's vector."""
    batch: int = 64
    """Sequences of a batch on one process."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built or trained, naming the field."""
        if not 0.0 <= self.frame_dropout < 1.0:
            raise UserError(f"frame_dropout must be from 0 to below 1, got {self.frame_dropout}")
        if not 1 <= self.label_width <= 65_536:
            raise UserError(f"label_width must be from 1 to 65536, got {self.label_width}")
        if not 1 <= self.batch <= 65_536:
            raise UserError(f"batch must be from 1 to 65536 sequences, got {self.batch}")
        if self.autoregressive and isinstance(self.decoder, FilmConv):
            raise UserError(
                "--model.autoregressive and model.decoder:film-conv do not go together: the convolutions see what "
                "comes after a frame; use model.decoder:gru or transformer"
            )
        if self.frame_dropout and not self.autoregressive:
            raise UserError(
                f"--model.frame-dropout {self.frame_dropout:g} hides frames from a decoder that reads them; add "
                "--model.autoregressive"
            )
        if self.conditional and getattr(self.decoder, "levels", 1) > 1:
            raise UserError(
                "--model.conditional and decoder levels above 1 do not go together: the label is no level of z; "
                "leave out one of the two"
            )

    def build(
        self,
        features: int,
        longest: int,
        mean: Statistics = None,
        std: Statistics = None,
        *,
        labels: int = 0,
        latent: bool = True,
    ) -> FramesVAE:
        """The model.

        Args:
            features: numbers F of a frame.
            longest: most frames of a sequence.
            mean: of each feature over the corpus, [F]; None where weights will be loaded.
            std: its standard deviation, [F].
            labels: how many there are, for a conditional model.
            latent: whether there is a z.

        Raises:
            UserError: it shall know labels that there are none of, or has nothing to write from.
        """
        level: Latent | None = None
        if latent:
            level = self._latent(features, longest)
        table: nn.Embedding | None = None
        if self.conditional:
            if labels < 1:
                raise UserError(
                    "--model.conditional needs labels; prepare the frames with --labels or --label"
                )
            table = nn.Embedding(labels, self.label_width)
        told = (level.dimension if level else 0) + (self.label_width if table else 0)
        decoder = self.build_decoder(features, longest, told or None)
        return FramesVAE(
            level,
            decoder,
            self.likelihood.build(decoder.width, features, mean, std),
            frame_dropout=self.frame_dropout,
            labels=table,
        )

    def build_decoder(self, features: int, longest: int, told: int | None) -> SeriesDecoder:
        """The decoder, told a vector of size `told` of each sequence.

        Raises:
            UserError: it writes all frames at once, from nothing.
        """
        if told is None and not self.autoregressive:
            raise UserError(
                "--latent none needs --model.autoregressive: without z and without the frames before, every "
                "sequence would be written alike"
            )
        if isinstance(self.decoder, FilmConv):
            assert told is not None
            return FilmSeries(self.decoder.build(PLACES, told, FILM_STRIDE), longest)
        network = self.decoder.build(told, longest)
        return StepSeries(network, features, longest, autoregressive=self.autoregressive)

    def _latent(self, features: int, longest: int) -> Latent:
        encoder = self.encoder.build(features, longest)
        posterior = self.posterior.build(encoder.width)
        prior = build_prior(self.posterior, self.prior, posterior.dimension)
        level = Latent(encoder, posterior, prior)
        if isinstance(prior, VampPrior):
            prior.attach(features, level.infer)
        return level
