"""The networks of a speech run: the counterpart of `Model` for log-mel frames."""

from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.mix import NoiseMix
from seqvae.decoders import FilmConv, FrameDecoderChoice
from seqvae.encoders import ContentChoice, ContentConv, PitchConv, StyleChoice, StyleConv
from seqvae.errors import UserError
from seqvae.latent import CONTENT, STYLE, Latent
from seqvae.likelihoods import FrameLikelihoodChoice, Laplace
from seqvae.likelihoods.frame_likelihood import Statistics
from seqvae.model import SequenceVAE
from seqvae.posteriors import Gaussian, SpeechPosteriorChoice
from seqvae.priors import Standard, StylePriorChoice
from seqvae.priors.pairs import check_committed


@dataclass(frozen=True)
class Speech:
    """The networks of a speech model: style, one vector, over content, one every few frames."""

    content: ContentChoice = field(default_factory=ContentConv)
    """Reads what is said."""
    content_posterior: SpeechPosteriorChoice = field(default_factory=lambda: Gaussian(dimension=32))
    """What is known of the content."""
    style: StyleChoice = field(default_factory=StyleConv)
    """Reads who says it; unused where speakers are rows of a table alone."""
    style_posterior: SpeechPosteriorChoice = field(default_factory=lambda: Gaussian(dimension=32))
    """What is known of the style."""
    style_prior: StylePriorChoice = field(default_factory=Standard)
    """What is expected of the style; hierarchical: that crops of one recording share it."""
    speakers: Literal["encoder", "table", "both"] = "encoder"
    """encoder: the voice is what the style encoder hears, of anyone; table: a learned vector of each
    speaker in the data; both: the two side by side."""
    table_width: int = 64
    """Size of a speaker's vector in the table."""
    pitch: bool = True
    """Whether the decoder is told the course of the pitch: smoothed content has little of it."""
    pitch_reader: PitchConv = field(default_factory=PitchConv)
    """Reads the pitch; learns it from what is tracked in the recordings."""
    decoder: FrameDecoderChoice = field(default_factory=FilmConv)
    """Writes frames from content, pitch and voice."""
    likelihood: FrameLikelihoodChoice = field(default_factory=Laplace)
    """What a frame costs."""
    warp: float = 0.2
    """The content encoder reads frames whose mel axis is stretched by a factor from 1 - warp to
    1 + warp, in training; 0: off."""
    equalizer: float = 0.2
    """The content encoder reads frames through a filter drawn for each crop, in training: a smooth curve
    over the mel axis, about so many of a bin's standard deviations high; 0: off."""
    tempo: float = 0.15
    """Crops are faster or slower by up to this part in training, their pitch kept; 0: off."""
    noise: NoiseMix = field(default_factory=NoiseMix)
    """Noise in what the encoders read, to train a denoiser."""
    crop_seconds: float = 2.0
    """Length of what is trained on at once."""
    batch: int = 16
    """Crops of a batch on one process."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built or trained, naming the field."""
        if not 0.0 <= self.warp < 1.0:
            raise UserError(f"warp must be from 0 to below 1, got {self.warp}")
        if not 0.0 <= self.tempo < 1.0:
            raise UserError(f"tempo must be from 0 to below 1, got {self.tempo}")
        if not 0.0 <= self.equalizer <= 10.0:
            raise UserError(f"equalizer must be from 0 to 10, got {self.equalizer}")
        if not 0.1 <= self.crop_seconds <= 600.0:
            raise UserError(f"crop_seconds must be from 0.1 to 600, got {self.crop_seconds}")
        if not 1 <= self.batch <= 65_536:
            raise UserError(f"batch must be from 1 to 65536 crops, got {self.batch}")
        if not 1 <= self.table_width <= 65_536:
            raise UserError(f"table_width must be from 1 to 65536, got {self.table_width}")
        check_committed(self.style_posterior, self.style_prior, "style-")

    @property
    def has_style(self) -> bool:
        """Whether there is a style encoder: whether the model can take voices it has never heard."""
        return self.speakers != "table"

    @property
    def has_table(self) -> bool:
        """Whether there is a table of the speakers in the data."""
        return self.speakers != "encoder"

    def crop_frames(self, settings: MelSettings) -> int:
        """Frames of a crop, a multiple of the content's stride."""
        stride = self.content.stride
        return max(1, round(self.crop_seconds * settings.frame_rate / stride)) * stride

    def build(
        self,
        settings: MelSettings,
        mean: Statistics = None,
        std: Statistics = None,
        speakers: int = 0,
        items: int = 0,
    ) -> SequenceVAE:
        """The model.

        Args:
            settings: of the frames.
            mean: of each mel bin over the corpus, [mels]; None where weights will be loaded.
            std: its standard deviation, [mels].
            speakers: rows of the table.
            items: recordings of the training split, for a hierarchical prior.

        Raises:
            UserError: a table for no speaker is asked for.
        """
        mels = settings.mels
        encoder = self.content.build(mels)
        posterior = self.content_posterior.build(encoder.width)
        prior = Standard().build(posterior.dimension)
        content = Latent(encoder, posterior, prior, scope="frame")
        style: Latent | None = None
        if self.has_style:
            reader = self.style.build(mels)
            voice = self.style_posterior.build(reader.width)
            style = Latent(reader, voice, self.style_prior.build(voice.dimension, items))
        table: nn.Embedding | None = None
        if self.has_table:
            if speakers < 1:
                raise UserError(
                    f"speakers {self.speakers!r} needs recordings with speakers; use 'encoder'"
                )
            table = nn.Embedding(speakers, self.table_width)
        width = (style.dimension if style else 0) + (self.table_width if table else 0)
        decoder = self.decoder.build(
            posterior.dimension, width, encoder.stride, settings if self.pitch else None
        )
        return SequenceVAE(
            style,
            decoder,
            self.likelihood.build(decoder.width, mels, mean, std),
            lower={CONTENT: content},
            labels=table,
            name=STYLE,
            frame_seconds=1.0 / settings.frame_rate,
            pitch=self.pitch_reader.build(mels) if self.pitch else None,
        )
