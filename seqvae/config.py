"""What a run is made of: frozen dataclasses = the command line = the JSON beside the weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seqvae import decoders, encoders
from seqvae.conditioning import Conditioning
from seqvae.config_frames import Frames
from seqvae.config_json import from_json, to_json
from seqvae.config_speech import Speech
from seqvae.data.attributes import Attribute
from seqvae.data.folder import Modality
from seqvae.data.noise import Noise
from seqvae.decoders import Decoder, DecoderChoice
from seqvae.encoders import EncoderChoice
from seqvae.errors import UserError
from seqvae.latent import Latent
from seqvae.likelihoods import Categorical, LikelihoodChoice
from seqvae.model import SequenceVAE
from seqvae.nn.transformer import token_embedding
from seqvae.objectives import ObjectiveChoice, RateTarget
from seqvae.objectives.auxiliary import check_auxiliary, check_auxiliary_of
from seqvae.objectives.bag_of_words import BagOfWords
from seqvae.objectives.pairs import check_objective, check_without_latent
from seqvae.objectives.refine import Refine, check_refine
from seqvae.posteriors import Gaussian, PosteriorChoice
from seqvae.priors import PriorChoice, Standard
from seqvae.priors.by_label import ByLabelPrior
from seqvae.priors.pairs import build_prior, check_conditional, check_levels, check_prior
from seqvae.priors.vamp import VampPrior

RUN_FORMAT = 1
Preset = Literal["tiny", "small", "base"]


@dataclass(frozen=True)
class Model:
    """The networks."""

    encoder: EncoderChoice = field(default_factory=encoders.Transformer)
    """Reads the text into a summary."""
    posterior: PosteriorChoice = field(default_factory=Gaussian)
    """What the summary says of z."""
    prior: PriorChoice = field(default_factory=Standard)
    """What is expected of z before anything is read."""
    decoder: DecoderChoice = field(default_factory=decoders.Transformer)
    """Writes the text given z."""
    likelihood: LikelihoodChoice = field(default_factory=Categorical)
    """What a written step costs."""
    word_dropout: float = 0.0
    """Probability that a decoder input is blanked in training."""
    bag_of_words: float = 0.0
    """Weight of a second reading of z, which must say all words in no order (Zhao et al. 2017): a part of
    the loss in training, never of the bound; 0: off."""
    fraternal: float = 0.0
    """Weight of the difference of two passes of the decoder with different dropout (fraternal dropout,
    Zolna et al. 2018), which costs a second pass; 0: off."""
    refine: Refine = field(default_factory=Refine)
    """Semi-amortised inference (Kim et al. 2018): steps on the posterior after the encoder's."""
    share_embedding: bool = True
    """Whether the encoder reads the decoder's token embedding or has its own."""
    max_length: int = 128
    """Longest sequence in tokens, start and end included; longer ones are skipped and counted."""
    conditional: bool = False
    """Whether encoder, prior and decoder are told each text's label, so that z holds what else there is:
    texts of a wanted label, and texts moved from one to another (`seqvae transfer`)."""
    label_width: int = 16
    """Size of the vector of a label and the attributes."""
    label_prior: Literal["learned", "shared"] = "learned"
    """Of a conditional model: a Gaussian for each label, learned, or `prior` for all."""

    def __post_init__(self) -> None:
        """Refuse what does not go together, naming the flags."""
        check_auxiliary(self.bag_of_words, self.fraternal, self.word_dropout, self.decoder.dropout)
        if not self.conditional:
            return
        if not 1 <= self.label_width <= 65_536:
            raise UserError(f"label_width must be from 1 to 65536, got {self.label_width}")
        check_conditional(self.posterior, self.prior, self.label_prior)
        if getattr(self.decoder, "levels", 1) > 1:
            raise UserError(
                "--model.conditional and decoder levels above 1 do not go together: the label is no level of z; "
                "leave out one of the two"
            )

    def build(
        self,
        vocabulary: int,
        *,
        latent: bool = True,
        labels: int = 0,
        attributes: Sequence[Attribute] = (),
    ) -> SequenceVAE:
        """The model for `vocabulary` pieces; without `latent` the same decoder alone.

        Args:
            vocabulary: pieces.
            latent: whether there is a z.
            labels: how many there are, for a conditional model.
            attributes: what else is known of a text, for one.

        Raises:
            UserError: it shall know labels or attributes that there are none of.
        """
        likelihood = self.likelihood.build(vocabulary, self.decoder.width)
        by_label = self.conditional and self.label_prior == "learned"
        level: Latent | None = None
        if latent:
            encoder = self.encoder.build(self.decoder.width, self.max_length)
            posterior = self.posterior.build(encoder.width)
            own = None
            if not self.share_embedding:
                own = token_embedding(vocabulary, self.decoder.width)
            prior = build_prior(self.posterior, self.prior, posterior.dimension)
            if by_label:
                prior = ByLabelPrior(max(labels, 1), posterior.dimension)
            level = Latent(encoder, posterior, prior, own)
            if isinstance(prior, VampPrior):
                prior.attach(self.decoder.width, level.infer)
        dimension = level.dimension if level else None
        conditioning: Conditioning | None = None
        if self.conditional:
            if labels < 1 and not attributes:
                raise UserError(
                    "--model.conditional needs labels; prepare the text with --label COLUMN"
                )
            summary = level.encoder.width if level else None
            conditioning = Conditioning(
                labels, self.label_width, summary, attributes, dimension if by_label else None
            )
        bag: BagOfWords | None = None
        if dimension is not None and self.bag_of_words:
            bag = BagOfWords(dimension, self.decoder.width, vocabulary, self.bag_of_words)
        return SequenceVAE(
            level,
            self.build_decoder(dimension),
            likelihood,
            word_dropout=self.word_dropout,
            conditioning=conditioning,
            bag_of_words=bag,
            fraternal=self.fraternal,
            refine=self.refine if latent and self.refine.steps else None,
        )

    def build_decoder(self, dimension: int | None, *, plain: bool = False) -> Decoder:
        """The decoder of z of size `dimension` (None: of no z), with room for a label's vector unless `plain`."""
        told = self.label_width if self.conditional and not plain else 0
        return self.decoder.build((dimension or 0) + told or None, self.max_length)


_POSITIVE = (
    "epochs",
    "steps",
    "tokens_per_batch",
    "accumulate",
    "learning_rate",
    "clip",
    "tighten_samples",
    "validate_every",
    "validate_sequences",
    "checkpoint_every",
    "keep",
    "patience",
    "bad_steps",
    "threads",
)
_PARTS = ("warmup", "final_rate", "autoencoder", "tighten")


@dataclass(frozen=True)
class Training:
    """The optimisation."""

    epochs: float = 16.0
    """Passes over the training split; may be a fraction."""
    steps: int | None = None
    """Optimiser steps; replaces `epochs` when given."""
    tokens_per_batch: int = 2048
    """Tokens of a batch of text on one process, padding included."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step."""
    learning_rate: float = 2e-3
    """Greatest learning rate."""
    warmup: float = 0.05
    """Part of the run over which the learning rate rises."""
    final_rate: float = 0.02
    """Last learning rate, as a part of the greatest (cosine decay)."""
    weight_decay: float = 0.05
    """AdamW's decay of matrices (not of biases and norms)."""
    clip: float = 1.0
    """Greatest norm of the gradient."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 = autocast; auto: bfloat16 on a GPU, and for speech on a CPU that computes in it, else
    float32. KL and sums stay float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    compile: bool = False
    """Use torch.compile: worth its minutes of start-up on long runs."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, which is then what is validated and
    saved as the result, e.g. 0.999."""
    autoencoder: float = 0.0
    """Part of the run trained as an autoencoder (beta 0) first (Li et al. 2019)."""
    reset_decoder: bool = True
    """Whether the decoder starts afresh after the autoencoder phase."""
    aggressive: int = 0
    """Greatest number of encoder-only steps before each step, until validation MI stops rising
    (He et al. 2019, arXiv 1901.05534); 0: off."""
    tighten: float = 0.0
    """Last part of the run in which the encoder is frozen and the decoder is trained on the
    importance-weighted bound with `tighten_samples` samples."""
    tighten_samples: int = 8
    """Samples of z for `tighten`."""
    noise: Noise = field(default_factory=Noise)
    """Corruption of what the encoder reads."""
    validate_every: int | None = None
    """Steps between validations; by default once an epoch, and at least 5 times a run (of speech, 40
    times at most)."""
    validate_sequences: int = 1000
    """Sequences of the validation split that are used."""
    checkpoint_every: int = 500
    """Steps between checkpoints to resume from."""
    keep: int = 2
    """Checkpoints kept."""
    patience: int | None = None
    """Stop after this many validations without improvement; by default never."""
    guard: Literal["remedy", "warn", "off"] = "remedy"
    """What the collapse guard does: apply a remedy and log it, only say so, or nothing."""
    bad_steps: int = 20
    """Skipped non-finite steps in a row after which the run stops."""
    threads: int | None = None
    """CPU threads; by default torch's choice."""

    def __post_init__(self) -> None:
        """Refuse values that would train nothing or divide by zero, naming the flag."""
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0, got {value}")
        for name in _PARTS:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise UserError(
                    f"--{name.replace('_', '-')} is a part of the run, from 0 to 1; got {value}"
                )
        if self.autoencoder + self.tighten > 1.0:
            raise UserError("--autoencoder and --tighten together are more than the whole run")
        if self.ema is not None and not 0.0 < self.ema < 1.0:
            raise UserError(f"--ema must lie between 0 and 1, got {self.ema}")


@dataclass(frozen=True)
class Experiment:
    """One training run, complete."""

    data: str = ""
    """Folder written by `seqvae prepare`."""
    run: str = ""
    """Folder for checkpoints, logs and the result."""
    latent: Literal["vae", "none"] = "vae"
    """none: the same decoder without a latent, the language model to compare with."""
    objective: ObjectiveChoice = field(default_factory=RateTarget)
    """What is optimised."""
    model: Model | Speech | Frames = field(default_factory=Model)
    """The networks, for text, for speech or for frames of numbers."""
    training: Training = field(default_factory=Training)
    """The optimisation."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        """Refuse members that do not go together, naming them."""
        if not isinstance(self.model, Speech) and self.latent == "vae":
            check_prior(self.model.posterior, self.model.prior)
            if isinstance(self.model.decoder, decoders.Transformer):
                check_levels(self.model.decoder.levels, self.model.posterior, self.model.prior)
            check_objective(self.objective, self.model.posterior, self.model.prior)
        if self.latent == "none":
            check_without_latent(self.objective)
        if isinstance(self.model, Model):
            bag, twice = self.model.bag_of_words, self.model.fraternal
            check_auxiliary_of(bag, twice, self.objective, latent=self.latent == "vae")
            check_refine(self.model.refine, self.model.posterior, self.objective)

    @property
    def text(self) -> Model:
        """The networks of a text run.

        Raises:
            UserError: it is a run of another kind.
        """
        if not isinstance(self.model, Model):
            raise self._other("text")
        return self.model

    @property
    def speech(self) -> Speech:
        """The networks of a speech run.

        Raises:
            UserError: it is a run of another kind.
        """
        if not isinstance(self.model, Speech):
            raise self._other("speech")
        return self.model

    @property
    def frames(self) -> Frames:
        """The networks of a run on frames of numbers.

        Raises:
            UserError: it is a run of another kind.
        """
        if not isinstance(self.model, Frames):
            raise self._other("frames")
        return self.model

    @property
    def kind(self) -> Modality:
        """What the run is trained on."""
        if isinstance(self.model, Frames):
            return "frames"
        return "speech" if isinstance(self.model, Speech) else "text"

    def _other(self, needed: Modality) -> UserError:
        return UserError(
            f"{self.run or 'this run'} is a {self.kind} run; a {needed} run is needed here"
        )


def preset(name: Preset = "tiny", rate: float = 8.0) -> Experiment:
    """The default run of a size: `tiny` for a CPU, `small` and `base` for a GPU.

    Args:
        name: which size.
        rate: nats per sequence that the latent shall carry.
    """
    layers, width, dimension, rate_of_learning, tokens = {
        "tiny": (2, 128, 32, 2e-3, 1024),
        "small": (4, 256, 32, 1e-3, 8192),
        "base": (8, 512, 64, 5e-4, 32768),
    }[name]
    heads = width // 32
    return Experiment(
        # Half of every dimension's share is free: none dies while few carry all.
        objective=RateTarget(rate=rate, floor=0.5),
        model=Model(
            # What the encoder learns by heart does not hold for new sentences: it needs more dropout
            # than the decoder.
            encoder=encoders.Transformer(layers=layers, width=width, heads=heads, dropout=0.2),
            posterior=Gaussian(dimension=dimension),
            decoder=decoders.Transformer(layers=layers, width=width, heads=heads),
        ),
        training=Training(learning_rate=rate_of_learning, tokens_per_batch=tokens),
    )


def write_config(path: Path, experiment: Experiment, **more: Any) -> None:  # noqa: ANN401
    """Write `experiment` and further facts (vocabulary size, versions...) as JSON."""
    document = {"format": RUN_FORMAT, **more, "experiment": to_json(experiment)}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_config(path: Path) -> tuple[Experiment, dict[str, Any]]:
    """The experiment in a run's `config.json`, and the other facts in it.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.parent} is not a run: it has no {path.name}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged ({error}); restore it from a copy") from None
    if not isinstance(document, dict) or document.get("format") != RUN_FORMAT:
        found = document.get("format") if isinstance(document, dict) else document
        raise UserError(
            f"{path}: run format {found!r}, this seqvae reads {RUN_FORMAT}: "
            "train again or use the version that wrote it"
        )
    experiment: Experiment = from_json(Experiment, document.pop("experiment", None), path.name)
    return experiment, document
