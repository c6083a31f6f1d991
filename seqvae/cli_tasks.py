"""The verbs of the command line that use a trained run."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from seqvae.cli_said import Said
from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding
from seqvae.tasks.repair import Channel
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


def _known(path: Path) -> tuple[list[str], list[str] | None]:
    """Texts of a file, and their labels where every line has one behind a tab."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--known {path}: not a file of texts ({error})") from None
    rows = [line.partition("\t") for line in lines]
    labels = [label.strip() for _, _, label in rows]
    return [text for text, _, _ in rows], labels if labels and all(labels) else None


def sample(argv: list[str]) -> None:
    """`seqvae sample`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        n: int = 10,
        device: str = "cpu",
        label: Said = (),
        prior: Expected | None = None,
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(strategy="sample"),  # noqa: B008
    ) -> None:
        """Write new sentences from the prior.

        Args:
            run: a trained run.
            n: how many.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
            prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior`
                left it.
            decoding: how tokens are chosen.
        """
        for text in load_text(run, device=device, label=label, prior=prior).sample(n, decoding):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae sample")


def reconstruct(argv: list[str]) -> None:
    """`seqvae reconstruct`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        device: str = "cpu",
        label: Said = (),
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(),  # noqa: B008
    ) -> None:
        """Encode sentences and write them again from the posterior mean.

        Args:
            run: a trained run.
            texts: sentences, or - for standard input.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
            decoding: how tokens are chosen.
        """
        for text in load_text(run, device=device, label=label).reconstruct(
            _texts(texts), decoding=decoding
        ):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae reconstruct")


def denoise(argv: list[str]) -> None:
    """`seqvae denoise`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        device: str = "cpu",
        label: Said = (),
        method: Literal["rewrite", "edit"] = "rewrite",
        channel: Annotated[Channel, tyro.conf.arg(name="cost")] = Channel(),  # noqa: B008
    ) -> None:
        """Repair corrupted sentences (train with --noise.drop, --noise.blank... for this, or on pairs).

        Args:
            run: a run trained with noise on the encoder's input.
            texts: sentences, or - for standard input.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
            method: rewrite: written anew from the latent, which must hold the whole sentence. edit: words put back,
                moved or respelled where the model gains more by it than it costs; all others stay.
            channel: what edits cost, in nats.
        """
        model = load_text(run, device=device, label=label)
        damaged = _texts(texts)
        rewritten = method == "rewrite"
        for text in model.denoise(damaged) if rewritten else model.repair(damaged, channel):
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
        label: Said = (),
    ) -> None:
        """Walk from one sentence to another through the latent space.

        Args:
            run: a trained run.
            start: first sentence.
            end: last sentence.
            steps: sentences to write, the two ends' reconstructions included.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
        """
        for text in load_text(run, device=device, label=label).interpolate(start, end, steps=steps):
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
        label: Said = (),
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(),  # noqa: B008
    ) -> None:
        """Write other sentences from around each sentence's latent, best first.

        Args:
            run: a trained run.
            texts: sentences, or - for standard input.
            n: candidates for each.
            noise_scale: distance from the sentence: 0 reconstructs, 1 is the posterior's own width.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
            decoding: how tokens are chosen.
        """
        results = load_text(run, device=device, label=label).paraphrase(
            _texts(texts), n=n, noise_scale=noise_scale, decoding=decoding
        )
        for result in results:
            print(result.text)
            for candidate in result.candidates:
                print(f"  {candidate.score:8.2f}  {candidate.text}")

    tyro.cli(command, args=argv, prog="seqvae paraphrase")


def transfer(argv: list[str]) -> None:
    """`seqvae transfer`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        to: Said,
        source: Annotated[Said, tyro.conf.arg(name="from")] = (),
        device: str = "cpu",
        decoding: Annotated[Decoding, tyro.conf.arg(name="")] = Decoding(),  # noqa: B008
    ) -> None:
        """Say sentences again under another label: in another style, with what else they say kept.

        The run is one trained with --model.conditional on a corpus prepared with --label COLUMN.

        Args:
            run: a trained conditional run.
            texts: sentences, or - for standard input.
            to: the wanted label; of a run with attributes NAME=VALUE, in a --to of its own. The rest stays as it is.
            source: the sentences' label and attributes, as in --to; by default for each those under which it is most
                probable.
            device: where to compute.
            decoding: how tokens are chosen.
        """
        model = load_text(run, device=device)
        for text in model.transfer(_texts(texts), to, source, decoding):
            print(text)

    tyro.cli(command, args=argv, prog="seqvae transfer")


def score(argv: list[str]) -> None:
    """`seqvae score`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        texts: tyro.conf.Positional[tuple[str, ...]],
        samples: int = 100,
        device: str = "cpu",
        label: Said = (),
        prior: Expected | None = None,
        known: Path | None = None,
        json_lines: bool = False,
    ) -> None:
        """Say how surprising sentences are, in nats; high scores are anomalies.

        nll is -log p(sentence), which grows with its length: compare sentences by the figures per piece. Of these
        misfit is the reconstruction per piece: high where the latent cannot hold what a text says. Told what is
        --known, odd joins it with the distance to known texts, in deviations; on short questions this told best, of
        all these figures, what is of another kind (docs/anomalies.md).

        Args:
            run: a trained run.
            texts: sentences, or - for standard input.
            samples: K of the importance-weighted likelihood.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
            prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior`
                left it.
            known: file of usual texts, a line each, such as those of the training; behind a tab on every line may
                stand what the text is about, which helps.
            json_lines: print one JSON object a sentence, with every piece's surprisal.
        """
        model = load_text(run, device=device, label=label, prior=prior)
        scores = model.score(_texts(texts), samples=samples)
        odd: list[float | None] = [None] * len(scores)
        if known is not None:
            odd = [*model.reference(*_known(known)).oddity(scores).tolist()]
        for score, oddity in zip(scores, odd, strict=True):
            if json_lines:
                more = {} if oddity is None else {"odd": oddity}
                print(json.dumps({**dataclasses.asdict(score), **more}))
                continue
            told = "" if oddity is None else f"odd {oddity:6.2f}  "
            print(
                f"{told}nll {score.nll_iw:7.2f}  elbo {score.elbo:7.2f}  kl {score.kl:6.2f}  "
                f"per piece {score.per_piece:5.2f}  misfit {score.misfit:5.2f}  {score.text}"
            )
            print("   " + " ".join(f"{piece}/{nats:.1f}" for piece, nats in score.pieces))

    tyro.cli(command, args=argv, prog="seqvae score")


def embed(argv: list[str]) -> None:
    """`seqvae embed`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        inputs: tyro.conf.Positional[tuple[str, ...]],
        out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
        field: str = "text",
        id: str | None = None,
        header: bool = True,
        sample: bool = False,
        seed: int = 0,
        log_variance: bool = False,
        crop: bool = False,
        overwrite: bool = False,
        device: str = "cpu",
        label: Said = (),
    ) -> None:
        """Write a vector for each text: seqvae embed RUN IN... -o vectors.parquet (or .npy, .jsonl).

        The vector is the posterior mean: texts that say alike lie near each other, for search, clustering or a
        classifier of few labels. Lines that cannot be read are counted, and the first ten are named.

        Args:
            run: a trained run.
            inputs: files, folders or -: text (a line each), .csv, .tsv, .jsonl, .parquet, each also .gz.
            out: file to write; the ending says the format. .npy has the vectors alone.
            field: column of the text in tables; without a header columns are called 1, 2, ...
            id: column of tables that becomes the id; by default it is FILE:LINE.
            header: the first row of .csv and .tsv has the names.
            sample: draw from the posterior instead of taking its mean.
            seed: of the samples.
            log_variance: write the posterior's log-variances too: how sure each coordinate is.
            crop: embed the beginning of texts that are too long, instead of skipping them.
            overwrite: replace OUT.
            device: where to compute.
            label: of a conditional run: the one whose texts are read and written; NAME=VALUE, in a --label of its own,
                for each attribute.
        """
        from tqdm import tqdm

        from seqvae.tasks.embed import embed_files

        model = load_text(run, device=device, label=label)
        model.crop = crop
        with tqdm(unit="B", unit_scale=True, disable=None, desc="read") as bar:
            done = embed_files(
                model,
                inputs,
                out,
                field=field,
                key=id,
                header=header,
                seed=seed if sample else None,
                log_variance=log_variance,
                overwrite=overwrite,
                on_bytes=bar.update,
            )
        for reason, count in done.skipped.items():
            print(f"{count:,} skipped: {reason}", file=sys.stderr)
        for entry in done.entries[:10]:
            print(f"  {entry['source']}:{entry['line']} {entry['reason']}", file=sys.stderr)
        print(f"{out}: {done.texts:,} vectors of {done.dimension}")

    tyro.cli(command, args=argv, prog="seqvae embed")
