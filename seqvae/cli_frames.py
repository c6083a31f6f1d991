"""The verbs that use a trained run, where it is one on frames of numbers: arrays and pictures in and out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from seqvae.errors import UserError
from seqvae.training import load_frames

if TYPE_CHECKING:
    from seqvae.data.frames.sequences import Floats
    from seqvae.tasks.frames_model import FramesModel

_COLUMNS = 10


def sample(argv: list[str]) -> None:
    """`seqvae sample`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        out: Path,
        n: int = 20,
        label: tuple[str, ...] = (),
        length: int | None = None,
        temperature: float = 1.0,
        draw: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        """Write new sequences, z from the prior.

        Args:
            run: a trained run on frames.
            out: .png for a picture, .npy or .npz for the numbers.
            n: how many.
            label: of a conditional run, one for all or one for each; by default all it knows in turn.
            length: frames of each; by default the most there are.
            temperature: z is multiplied by it; below 1 they are more alike.
            draw: draw each number from what the model expects, instead of its mean.
            seed: of everything random.
            device: where to compute.
        """
        model = load_frames(run, device=device)
        labels = list(label) * n if len(label) == 1 else list(label) or None
        found = model.sample(
            n, length=length, labels=labels, temperature=temperature, draw=draw, seed=seed
        )
        _write(model, out, found)

    tyro.cli(command, args=argv, prog="seqvae sample")


def reconstruct(argv: list[str]) -> None:
    """`seqvae reconstruct`, its arguments parsed from `argv`."""
    _rewrite(argv, "reconstruct", "Encode sequences and write them again from the posterior mean.")


def denoise(argv: list[str]) -> None:
    """`seqvae denoise`, its arguments parsed from `argv`."""
    _rewrite(argv, "denoise", "Repair noisy sequences (train with --model.noise for this).")


def _rewrite(argv: list[str], name: str, what: str) -> None:
    def command(
        run: tyro.conf.Positional[Path],
        sequences: tyro.conf.Positional[Path],
        out: Path,
        labels: Path | None = None,
        target: str | None = None,
        limit: int = 20,
        noise_scale: float = 0.0,
        draw: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        """See `what`.

        Args:
            run: a trained run on frames.
            sequences: .npy, .npz or idx of sequences as they were prepared from: they are divided and made
                binary as the corpus was.
            out: .png for a picture, given sequences over written ones; .npy or .npz for the numbers.
            labels: of a conditional run, .npy or idx with each one's label.
            target: of a conditional run, the label under which all are written: the same hand, another digit;
                by default each one's own.
            limit: most of them, the first.
            noise_scale: 0 writes from the posterior means, 1 from samples of the posterior.
            draw: draw each number from what the model expects, instead of its mean.
            seed: of everything random.
            device: where to compute.
        """
        model = load_frames(run, device=device)
        given, names = _read(model, sequences, labels, limit)
        if name == "denoise" and not model.info["experiment"].frames.noise.is_active:
            raise UserError(
                f"{run}: was trained without noise, so it repairs nothing; train one with --model.noise.gaussian "
                "0.5, or use reconstruct"
            )
        written = model.reconstruct(
            given,
            names,
            targets=None if target is None else [target] * len(given),
            noise_scale=noise_scale,
            draw=draw,
            seed=seed,
        )
        _write(model, out, written, given)

    tyro.cli(command, args=argv, prog=f"seqvae {name}", description=what)


def interpolate(argv: list[str]) -> None:
    """`seqvae interpolate`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        sequences: tyro.conf.Positional[Path],
        out: Path,
        start: int = 0,
        end: int = 1,
        steps: int = 10,
        labels: Path | None = None,
        device: str = "cpu",
    ) -> None:
        """Walk from one sequence to another through the latent space.

        Args:
            run: a trained run on frames.
            sequences: .npy, .npz or idx with both, as for reconstruct.
            out: .png for a picture, .npy or .npz for the numbers.
            start: place of the first in the file.
            end: place of the last.
            steps: sequences to write, the two ends' reconstructions included.
            labels: of a conditional run, .npy or idx with each one's label; that of the first is kept.
            device: where to compute.
        """
        model = load_frames(run, device=device)
        given, names = _read(model, sequences, labels, max(start, end) + 1)
        if not 0 <= min(start, end) <= max(start, end) < len(given):
            raise UserError(
                f"--start {start} and --end {end}: {sequences} has {len(given)} sequences"
            )
        both = None if names is None else [names[start], names[end]]
        _write(model, out, model.interpolate(given[start], given[end], steps, both))

    tyro.cli(command, args=argv, prog="seqvae interpolate")


def score(argv: list[str]) -> None:
    """`seqvae score`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        sequences: tyro.conf.Positional[Path],
        samples: int = 100,
        labels: Path | None = None,
        limit: int = 1000,
        device: str = "cpu",
    ) -> None:
        """Say how surprising sequences are, in nats and by their reconstructions; high scores are anomalies.

        Args:
            run: a trained run on frames.
            sequences: .npy, .npz or idx, as for reconstruct.
            samples: K of the importance-weighted likelihood.
            labels: of a conditional run, .npy or idx with each one's label.
            limit: most of them, the first.
            device: where to compute.
        """
        model = load_frames(run, device=device)
        given, names = _read(model, sequences, labels, limit)
        found = model.score(given, names, samples=samples)
        for number, (nll, loss, kl) in enumerate(
            zip(found.nll_iw, found.elbo, found.kl, strict=True)
        ):
            line = f"{number:6d}  nll {nll:9.3f}  elbo {loss:9.3f}  kl {kl:7.3f}"
            if found.squared_error is not None:
                line += f"  squared error {found.squared_error[number]:.5f}"
            print(line)

    tyro.cli(command, args=argv, prog="seqvae score")


def _read(
    model: "FramesModel", path: Path, labels: Path | None, limit: int
) -> tuple[list["Floats"], list[str] | None]:
    """The first sequences of a file, treated as the corpus was, and their labels."""
    from seqvae.data.frames.inputs import read_sequences
    from seqvae.data.frames.write import Treatment

    found = read_sequences(path, labels)
    settings = model.info["settings"]
    treatment = Treatment(**{**settings, "unseen": tuple(settings["unseen"])})
    starts = np.cumsum([0, *found.lengths])
    count = min(limit, len(found))
    given = [treatment.treated(found.values[starts[i] : starts[i + 1]]) for i in range(count)]
    return given, None if found.labels is None else found.labels[:count]


def _write(
    model: "FramesModel",
    out: Path,
    written: Sequence["Floats"],
    given: Sequence["Floats"] | None = None,
) -> None:
    """Write sequences as a picture or as numbers."""
    from seqvae.tasks.picture import contact_sheet, in_rows, write_picture

    if not written:
        raise UserError("nothing to write: ask for at least one sequence")
    if out.suffix == ".png":
        rows = in_rows(written, _COLUMNS)
        if given is not None:
            above = in_rows(given, _COLUMNS)
            rows = [row for pair in zip(above, rows, strict=True) for row in pair]
        write_picture(out, contact_sheet(rows, *model.info["range"]))
    elif out.suffix in (".npy", ".npz"):
        lengths = {len(values) for values in written}
        try:
            if out.suffix == ".npz":
                sizes = np.array([len(values) for values in written])
                np.savez(out, values=np.concatenate(written), lengths=sizes)
            elif len(lengths) == 1:
                np.save(out, np.stack(written))
            else:
                raise UserError(f"{out}: lengths differ; name a .npz instead")
        except OSError as error:
            raise UserError(f"{out}: cannot write there ({error.strerror})") from error
    else:
        raise UserError(f"--out {out}: name a .png, a .npy or a .npz")
    print(f"{out}: {len(written)} sequences")
