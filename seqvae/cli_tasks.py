"""The verbs of the command line that use a trained run."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding
from seqvae.training import load_text
from seqvae.training.load import Expected


def _texts(given: tuple[str, ...]) -> list[str]:
    """The sentences on the command line; `-` stands for the lines of standard input."""
    texts: list[str] = []
    for text in given:
        texts += sys.stdin.read().splitlines() if text == "-" else [text]
    if not texts:
        raise UserError("no text given: name one or more sentences, or - for standard input")
    return texts


def sample(argv: list[str]) -> None:
    """`seqvae sample`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        n: int = 10,
        device: str = "cpu",
        prior: Expected | None = None,
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(strategy="sample"),  # noqa: B008
    ) -> None:
        """Write new sentences from the prior.

        Args:
            run: a trained run.
            n: how many.
            device: where to compute.
            prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior`
                left it.
            decoding: how tokens are chosen.
        """
        for text in load_text(run, device=device, prior=prior).sample(n, decoding):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae sample")


def reconstruct(argv: list[str]) -> None:
    """`seqvae reconstruct`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        device: str = "cpu",
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(),  # noqa: B008
    ) -> None:
        """Encode sentences and write them again from the posterior mean.

        Args:
            run: a trained run.
            texts: sentences, or - for standard input.
            device: where to compute.
            decoding: how tokens are chosen.
        """
        for text in load_text(run, device=device).reconstruct(_texts(texts), decoding=decoding):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae reconstruct")


def denoise(argv: list[str]) -> None:
    """`seqvae denoise`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        device: str = "cpu",
    ) -> None:
        """Repair corrupted sentences (train with --noise.drop, --noise.blank... for this).

        Args:
            run: a run trained with noise on the encoder's input.
            texts: sentences, or - for standard input.
            device: where to compute.
        """
        for text in load_text(run, device=device).denoise(_texts(texts)):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae denoise")


def interpolate(argv: list[str]) -> None:
    """`seqvae interpolate`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        start: tyro.conf.Positional[str],
        end: tyro.conf.Positional[str],
        steps: int = 7,
        device: str = "cpu",
    ) -> None:
        """Walk from one sentence to another through the latent space.

        Args:
            run: a trained run.
            start: first sentence.
            end: last sentence.
            steps: sentences to write, the two ends' reconstructions included.
            device: where to compute.
        """
        for text in load_text(run, device=device).interpolate(start, end, steps=steps):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae interpolate")


def paraphrase(argv: list[str]) -> None:
    """`seqvae paraphrase`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        n: int = 5,
        noise_scale: float = 1.0,
        device: str = "cpu",
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(),  # noqa: B008
    ) -> None:
        """Write other sentences from around each sentence's latent, best first.

        Args:
            run: a trained run.
            texts: sentences, or - for standard input.
            n: candidates for each.
            noise_scale: distance from the sentence: 0 reconstructs, 1 is the posterior's own width.
            device: where to compute.
            decoding: how tokens are chosen.
        """
        results = load_text(run, device=device).paraphrase(
            _texts(texts), n=n, noise_scale=noise_scale, decoding=decoding
        )
        for result in results:
            print(result.text)
            for candidate in result.candidates:
                print(f"  {candidate.score:8.2f}  {candidate.text}")

    tyro.cli(command, args=argv, prog="seqvae paraphrase")


def score(argv: list[str]) -> None:
    """`seqvae score`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        samples: int = 100,
        device: str = "cpu",
        prior: Expected | None = None,
        json_lines: bool = False,
    ) -> None:
        """Say how surprising sentences are, in nats; high scores are anomalies.

        Args:
            run: a trained run.
            texts: sentences, or - for standard input.
            samples: K of the importance-weighted likelihood.
            device: where to compute.
            prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior`
                left it.
            json_lines: print one JSON object a sentence, with every piece's surprisal.
        """
        model = load_text(run, device=device, prior=prior)
        for score in model.score(_texts(texts), samples=samples):
            if json_lines:
                print(json.dumps(dataclasses.asdict(score)))
                continue
            print(
                f"nll {score.nll_iw:7.2f}  elbo {score.elbo:7.2f}  kl {score.kl:6.2f}  {score.text}"
            )
            print("   " + " ".join(f"{piece}/{nats:.1f}" for piece, nats in score.pieces))

    tyro.cli(command, args=argv, prog="seqvae score")
