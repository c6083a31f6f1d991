"""`seqvae vocoder`: train what turns frames into sound."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from seqvae.errors import UserError

Kind = Literal["istft", "linear-head", "griffin-lim"]


def vocoder(argv: list[str]) -> None:
    """`seqvae vocoder`, its arguments parsed from `argv`.

    Raises:
        UserError: see `seqvae.training.vocoder.train_vocoder`.
    """
    import tyro

    from seqvae.training.vocoder_config import (
        LearnedVocoder,
        VocoderExperiment,
        VocoderTraining,
    )
    from seqvae.vocoders import Istft, LinearHead

    chosen = _kind(argv)
    if chosen == "griffin-lim":
        raise UserError(
            "--kind griffin-lim: Griffin-Lim learns nothing and needs no training; it is what speaks "
            "where no vocoder is found"
        )

    basis = VocoderTraining()
    base: LearnedVocoder = Istft() if chosen == "istft" else LinearHead()

    @dataclasses.dataclass(frozen=True)
    class Vocoder:
        """Train a vocoder on prepared recordings, or go on where training stopped.

        seqvae vocoder DATA RUN/vocoder learns to turn the frames of DATA back into sound: ten minutes
        on one core. There every task of the run finds it, and the export; one that lies elsewhere is
        named, and serves every run with the same mel settings.
        """

        data: tyro.conf.Positional[Path]
        """Folder written by `seqvae prepare speech`."""
        out: tyro.conf.Positional[Path]
        """Folder for the vocoder; a training that is there is resumed."""
        kind: Kind = chosen
        """linear-head: learned magnitudes, then Griffin-Lim; istft: pulses and noise through learned
        filters, no iterations, a quarter of the time to speak and twice as long to learn."""
        overwrite: bool = False
        """Delete what OUT holds and start afresh."""
        seed: int = 0
        """Seed of everything random."""
        training: Annotated[VocoderTraining, tyro.conf.arg(name="")] = basis
        # The class is chosen as the program runs: a union would be shown as subcommands.
        vocoder: type(base) = base  # type: ignore[valid-type]
        """What is built."""

    given = tyro.cli(Vocoder, args=argv, prog="seqvae vocoder")
    from seqvae.training.vocoder import train_vocoder

    experiment = VocoderExperiment(
        data=str(given.data),
        out=str(given.out),
        vocoder=given.vocoder,
        training=given.training,
        seed=given.seed,
    )
    train_vocoder(experiment, overwrite=given.overwrite)
    print(f"{given.out}: written; it is used with --vocoder {given.out}, or as RUN/vocoder")


def _kind(argv: list[str]) -> Kind:
    """The kind among the words, before they are parsed: its own options depend on it."""
    for index, word in enumerate(argv):
        value = word.partition("=")[2] if word.startswith("--kind=") else None
        if word == "--kind" and index + 1 < len(argv):
            value = argv[index + 1]
        if value in ("istft", "linear-head", "griffin-lim"):
            return value  # type: ignore[return-value]
    return "linear-head"
