"""The verb train, whose options are those of the data, text or speech; and fit-prior."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

from seqvae.errors import UserError

if TYPE_CHECKING:
    from seqvae.config import Preset

USAGE = """usage: seqvae train DATA RUN [options]

Train a model on what `seqvae prepare` wrote to DATA, or go on with the run in RUN where it stopped: a run that
was killed ends as if it had not been. Whether DATA is text, speech or frames is seen from it.

  text     --rate NATS        nats that the latent carries of each sequence [8]; the controller holds it
           --latent none      the same decoder without a latent: the language model to compare with
           --noise.drop 0.1   ... a denoiser: words are dropped from what the encoder reads
           objective:mmd      all sentences together match the prior, each keeps its say (WAE); also objective:info
           --noise.drop 0.3 objective:adversarial
                              ... judged by a discriminator (AAE), and with dropped words to restore (DAAE)

  speech   --rate BITS        bits per second that the content carries [800]; more is clearer speech, less keeps
                              less of the source's voice in a conversion (300 to 1000)
           --objective.style  nats of an utterance that its style, the voice, carries [16]
           --model.speakers   encoder: any voice, from a recording; table: those in DATA, by name; both
           --model.noise.probability 0.8
                              a denoiser: noise is mixed into what the encoders read
           then               seqvae vocoder DATA RUN/vocoder: ten minutes on one core, clearer than Griffin-Lim

  frames   --rate NATS        nats that the latent carries of each sequence; by default as many as the bound likes
           --model.autoregressive
                              each frame is written given those before it, not all at once
           --model.conditional
                              decoder and posterior are told each sequence's label
           model.likelihood:laplace, normal
                              for numbers that are not from 0 to 1; bernoulli is the default
           --model.noise.gaussian 0.5
                              a denoiser: the encoder reads noisy frames

  all      --preset           tiny [default] for a CPU, small or base for a GPU
           --steps, --epochs  how long
           --overwrite        start afresh in RUN

`seqvae train DATA --help` lists all options for the kind of data in DATA. Several GPUs or processes:
torchrun --nproc-per-node 8 -m seqvae.cli train DATA RUN. Progress: RUN/metrics.jsonl, RUN/guard.jsonl,
tensorboard --logdir RUN."""


def train(argv: list[str]) -> None:
    """Train on the corpus among the words.

    Raises:
        UserError: see `seqvae.training.trainer.Trainer`, or an option that does not go with the data.
    """
    from seqvae.data.folder import META, modality_of

    data = next((word for word in argv if (Path(word) / META).is_file()), None)
    if data is None and (not argv or {"-h", "--help"} & set(argv)):
        print(USAGE)
        return
    kind = "text" if data is None else modality_of(data)
    {"text": _text, "speech": _speech, "frames": _frames}[kind](argv)


def fit_prior(argv: list[str]) -> None:
    """`seqvae fit-prior`, its arguments parsed from `argv`."""
    import tyro

    from seqvae.training.fit_prior import Fitting, fit_prior, kinds

    def command(
        run: tyro.conf.Positional[Path],
        kind: Literal["flow", "mixture"] = "flow",
        data: Path | None = None,
        which: Literal["best", "last"] = "best",
        device: str = "cpu",
        fitting: Annotated[Fitting, tyro.conf.arg(name="")] = Fitting(),  # noqa: B008
    ) -> None:
        """Fit a density to where a finished run's sentences lie in its latent: its prior from then on.

        It lies in RUN/prior, beside the weights, which stay as they are. sample, score, evaluate and export use
        it; with --prior standard they go back.

        Args:
            run: a trained text run, its prior the standard one.
            kind: flow of couplings, or mixture of Gaussians.
            data: corpus; by default the one the run was trained on.
            which: best or last weights, to which the prior then belongs.
            device: where to compute.
            fitting: how it is fitted.
        """
        fitted = fit_prior(run, kinds()[kind](), fitting, data=data, which=which, device=device)
        print(
            f"held-out latents cost {fitted.fitted:.3f} nats under the {kind}, {fitted.standard:.3f} under "
            f"the standard normal: the ELBO gains {fitted.gain:.3f} nats a sequence\n{run / 'prior'}: written"
        )

    tyro.cli(command, args=argv, prog="seqvae fit-prior")


def _text(argv: list[str]) -> None:
    import tyro

    from seqvae.config import Experiment, Model, Preset, Training, preset
    from seqvae.objectives import RateTarget, TextObjectiveChoice
    from seqvae.training import train

    name = _preset(argv)
    base = preset(name)
    usual = cast(TextObjectiveChoice, base.objective)

    @dataclasses.dataclass(frozen=True)
    class Train:
        """Train a model on a prepared corpus, or go on with a run where it stopped.

        The one dial is --rate: nats per sequence that the latent shall carry. --latent none trains
        the same decoder as a plain language model, the baseline of every comparison.
        """

        data: tyro.conf.Positional[Path]
        """Folder written by `seqvae prepare`."""
        run: tyro.conf.Positional[Path]
        """Folder for the run; one that exists is resumed."""
        rate: float | None = None
        """Nats per sequence that the latent shall carry [default 8]; sets objective:rate-target."""
        preset: Preset = name
        """Size: tiny trains on a CPU, small and base want a GPU."""
        latent: Literal["vae", "none"] = "vae"
        """none: the same decoder without a latent, a language model."""
        seed: int = 0
        """Seed of everything random."""
        overwrite: bool = False
        """Delete what the run folder holds and start afresh."""
        training: Annotated[Training, tyro.conf.arg(name="")] = base.training
        model: Model = base.text
        objective: TextObjectiveChoice = usual

    given = tyro.cli(Train, args=argv, prog="seqvae train")
    objective = given.objective
    if given.rate is not None:
        if not isinstance(objective, RateTarget):
            raise UserError("--rate sets the objective rate-target; leave out one of the two")
        if not given.rate > 0:
            raise UserError(
                f"--rate must be above 0 nats, got {given.rate:g}; "
                "for a model without a latent use --latent none"
            )
        objective = dataclasses.replace(objective, rate=given.rate)
    experiment = Experiment(
        data=str(given.data),
        run=str(given.run),
        latent=given.latent,
        objective=objective,
        model=given.model,
        training=given.training,
        seed=given.seed,
    )
    train(experiment, overwrite=given.overwrite)


def _speech(argv: list[str]) -> None:
    import tyro

    from seqvae.config import Experiment, Preset, Training
    from seqvae.config_speech import Speech
    from seqvae.objectives import LevelRates, SpeechObjectiveChoice
    from seqvae.preset_speech import speech_preset
    from seqvae.training import train

    name = _preset(argv)
    base = speech_preset(name)
    usual = cast(SpeechObjectiveChoice, base.objective)

    @dataclasses.dataclass(frozen=True)
    class Train:
        """Train a speech model on a prepared corpus, or go on with a run where it stopped.

        Two latents: the content, a vector every few frames, and the style, one vector an utterance; a
        conversion keeps the one and swaps the other. The one dial is --rate: bits per second that the
        content shall carry. More is clearer speech; less keeps less of the source's voice.
        """

        data: tyro.conf.Positional[Path]
        """Folder written by `seqvae prepare`."""
        run: tyro.conf.Positional[Path]
        """Folder for the run; one that exists is resumed."""
        rate: float | None = None
        """Bits per second that the content shall carry [default 800]; sets objective:level-rates."""
        preset: Preset = name
        """Size: tiny trains on a CPU, small and base want a GPU."""
        seed: int = 0
        """Seed of everything random."""
        overwrite: bool = False
        """Delete what the run folder holds and start afresh."""
        training: Annotated[Training, tyro.conf.arg(name="")] = base.training
        model: Speech = base.speech
        objective: SpeechObjectiveChoice = usual

    given = tyro.cli(Train, args=argv, prog="seqvae train")
    objective = given.objective
    if given.rate is not None:
        if not isinstance(objective, LevelRates):
            raise UserError("--rate sets the objective level-rates; leave out one of the two")
        if not given.rate > 0:
            raise UserError(f"--rate must be above 0 bit/s, got {given.rate:g}; try 300 to 1000")
        objective = dataclasses.replace(objective, content=given.rate)
    experiment = Experiment(
        data=str(given.data),
        run=str(given.run),
        objective=objective,
        model=given.model,
        training=given.training,
        seed=given.seed,
    )
    train(experiment, overwrite=given.overwrite)


def _frames(argv: list[str]) -> None:
    import tyro

    from seqvae.config import Experiment, Preset, Training
    from seqvae.config_frames import Frames
    from seqvae.objectives import RateTarget, TextObjectiveChoice
    from seqvae.preset_frames import frames_preset
    from seqvae.training import train

    name = _preset(argv)
    base = frames_preset(name)
    usual = cast(TextObjectiveChoice, base.objective)

    @dataclasses.dataclass(frozen=True)
    class Train:
        """Train a model on prepared frames, or go on with a run where it stopped.

        One latent vector for each sequence. By default all frames are written at once and the bound alone
        decides how much the vector carries; --rate holds it.
        """

        data: tyro.conf.Positional[Path]
        """Folder written by `seqvae prepare`."""
        run: tyro.conf.Positional[Path]
        """Folder for the run; one that exists is resumed."""
        rate: float | None = None
        """Nats per sequence that the latent shall carry; sets objective:rate-target."""
        preset: Preset = name
        """Size: tiny trains on a CPU, small and base want a GPU."""
        latent: Literal["vae", "none"] = "vae"
        """none: the same decoder without a latent, to compare with; it must be autoregressive."""
        seed: int = 0
        """Seed of everything random."""
        overwrite: bool = False
        """Delete what the run folder holds and start afresh."""
        training: Annotated[Training, tyro.conf.arg(name="")] = base.training
        model: Frames = base.frames
        objective: TextObjectiveChoice = usual

    given = tyro.cli(Train, args=argv, prog="seqvae train")
    objective = given.objective
    if given.rate is not None:
        if objective != usual and not isinstance(objective, RateTarget):
            raise UserError("--rate sets the objective rate-target; leave out one of the two")
        if not given.rate > 0:
            raise UserError(f"--rate must be above 0 nats, got {given.rate:g}")
        held = objective if isinstance(objective, RateTarget) else RateTarget(floor=0.5)
        objective = dataclasses.replace(held, rate=given.rate)
    experiment = Experiment(
        data=str(given.data),
        run=str(given.run),
        latent=given.latent,
        objective=objective,
        model=given.model,
        training=given.training,
        seed=given.seed,
    )
    train(experiment, overwrite=given.overwrite)


def _preset(argv: list[str]) -> "Preset":
    """The preset among the words: the defaults of all other options depend on it."""
    from seqvae.config import Preset

    known: tuple[Preset, ...] = get_args(Preset)
    given: str = known[0]
    for index, word in enumerate(argv):
        if word == "--preset" and index + 1 < len(argv):
            given = argv[index + 1]
        elif word.startswith("--preset="):
            given = word.split("=", 1)[1]
    for name in known:
        if name == given:
            return name
    raise UserError(f"--preset {given!r} is not one of {', '.join(known)}")
