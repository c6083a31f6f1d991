"""`seqvae molecules`: what models of molecules are judged by and used for."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import tyro

from seqvae.cli_said import Said
from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding
from seqvae.tasks.molecules.model import SAMPLING, MoleculeModel
from seqvae.tasks.molecules.optimize import Found, Search
from seqvae.training.load import Expected


def molecules(argv: list[str]) -> None:
    """`seqvae molecules`, its arguments parsed from `argv`."""
    tyro.extras.subcommand_cli_from_dict(
        {
            "sample": _sample,
            "score": _score,
            "optimize": _optimize,
            "walk": _walk,
            "anomalies": _anomalies,
            "draw": _draw,
        },
        args=argv,
        prog="seqvae molecules",
    )


def _sample(
    run: tyro.conf.Positional[Path],
    n: int = 10,
    label: Said = (),
    prior: Expected | None = None,
    device: str = "cpu",
    decoding: Annotated[Decoding, tyro.conf.arg(name="")] = SAMPLING,
) -> None:
    """Write new molecules as SMILES, whatever notation the run was trained in.

    Args:
        run: a trained run.
        n: how many.
        label: of a conditional run (prepared with --properties): NAME=VALUE, in a --label of its own, for each property.
        prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior` left it.
        device: where to compute.
        decoding: how tokens are chosen.
    """
    for text in MoleculeModel.load(run, prior, device, label).sample(n, decoding):
        print(text)


def _score(
    source: tyro.conf.Positional[Path],
    n: int = 30_000,
    reconstruct: int = 1000,
    data: Path | None = None,
    prior: Expected | None = None,
    cache: Path | None = None,
    reference_limit: int | None = None,
    processes: int = os.cpu_count() or 1,
    device: str = "cpu",
    decoding: Annotated[Decoding, tyro.conf.arg(name="")] = SAMPLING,
) -> None:
    """Print the MOSES table of a run's samples, or of a file of SMILES, beside the published rows.

    Of a run also the share of test molecules that it writes again exactly; samples and figures stay in RUN.

    Args:
        source: a trained run, or a file with a SMILES a line.
        n: samples of the run; of a file all are used.
        reconstruct: test molecules to write again; 0: none.
        data: the run's corpus, where that has moved since.
        prior: the fitted one or the standard one; by default the fitted one where `seqvae fit-prior` left it.
        cache: where the test sets' statistics are kept, which take an hour of one core [~/.cache/seqvae].
        reference_limit: use only this many molecules of each test set: minutes instead, and figures that do not
            compare with published ones to the last digits.
        processes: how many compute.
        device: where to sample.
        decoding: how tokens are chosen.
    """
    from seqvae.evaluation.molecules.published import table
    from seqvae.evaluation.molecules.score import moses_scores, reconstructed

    scores: dict[str, float] = {}
    if source.is_dir():
        model = MoleculeModel.load(source, prior, device)
        samples = list(model.sample(n, decoding))
        (source / "samples.smi").write_text("\n".join(samples) + "\n", encoding="utf-8")
        if reconstruct and model.model.model.latent is not None:
            held_out = model.held_out(reconstruct, data=data)
            scores["reconstruction"] = reconstructed(held_out, model.reconstruct(held_out))
        out = source / "molecules.json"
    else:
        samples = _lines(source)
        out = source.with_suffix(".moses.json")
    scores |= moses_scores(
        samples, cache=cache, processes=processes, reference_limit=reference_limit
    )
    facts = {"samples": len(samples), "reference_limit": reference_limit}
    out.write_text(json.dumps({**facts, **scores}, indent=2) + "\n", encoding="utf-8")
    print(table({source.name: scores}))
    if "reconstruction" in scores:
        print(f"\nwritten again exactly: {scores['reconstruction']:.1%} of test molecules")
    print(f"written to {out}", file=sys.stderr)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is neither a run nor a file of SMILES: {error}") from None
    # What follows the first space of a .smi file is a name; an empty line is a sample that is no molecule.
    return [(line.split(maxsplit=1) or [""])[0] for line in text.splitlines()]


def _optimize(
    run: tyro.conf.Positional[Path],
    smiles: tyro.conf.Positional[tuple[str, ...]],
    out: Path | None = None,
    device: str = "cpu",
    search: Annotated[Search, tyro.conf.arg(name="")] = Search(),  # noqa: B008
) -> None:
    """Search around molecules for similar ones with more of a property.

    Args:
        run: a trained run.
        smiles: where to start; - reads lines from standard input.
        out: also draw each start beside what was found, as .svg or .png.
        device: where to compute.
        search: how.
    """
    from seqvae.tasks.molecules.draw import draw
    from seqvae.tasks.molecules.optimize import optimize

    model = MoleculeModel.load(run, device=device)
    found = optimize(model, _given(smiles), search)
    for one in found:
        print(json.dumps({**dataclasses.asdict(one), "gain": one.gain}))
    if out is not None:
        cells = [(text, f"{search.property} {value:.3f}") for text, value in _cells(found)]
        draw([text for text, _ in cells], out, [caption for _, caption in cells], columns=2)


def _cells(found: list[Found]) -> list[tuple[str, float]]:
    return [pair for one in found for pair in ((one.start, one.before), (one.best, one.after))]


def _given(smiles: tuple[str, ...]) -> list[str]:
    given: list[str] = []
    for one in smiles:
        given += sys.stdin.read().split() if one == "-" else [one]
    if not given:
        raise UserError("no molecule given: name one or more SMILES, or - for standard input")
    return given


def _walk(
    run: tyro.conf.Positional[Path],
    start: tyro.conf.Positional[str],
    end: tyro.conf.Positional[str],
    steps: int = 12,
    out: Path | None = None,
    device: str = "cpu",
) -> None:
    """Walk from one molecule to another through the latent space.

    Args:
        run: a trained run.
        start: SMILES of the first.
        end: SMILES of the last.
        steps: points on the way that are decoded.
        out: also draw them, as .svg or .png.
        device: where to compute.
    """
    from seqvae.tasks.molecules.draw import draw, walk

    found = walk(MoleculeModel.load(run, device=device), start, end, steps)
    for text in found:
        print(text)
    if out is not None:
        draw(found, out)


def _draw(smiles: tyro.conf.Positional[tuple[str, ...]], out: Path, columns: int = 4) -> None:
    """Draw molecules in a grid.

    Args:
        smiles: what to draw; - reads lines from standard input.
        out: file to write, .svg or .png.
        columns: of the grid.
    """
    from seqvae.tasks.molecules.draw import draw

    print(draw(_given(smiles), out, columns=columns))


def _anomalies(
    run: tyro.conf.Positional[Path],
    n: int = 500,
    samples: int = 20,
    data: Path | None = None,
    device: str = "cpu",
) -> None:
    """Say how well the run's likelihood tells damaged strings from test molecules.

    Args:
        run: a trained run on SMILES.
        n: test molecules.
        samples: K of the likelihood.
        data: the run's corpus, where that has moved since.
        device: where to compute.
    """
    from seqvae.tasks.molecules.anomaly import detection

    model = MoleculeModel.load(run, device=device)
    if model.notation != "smiles":
        raise UserError("anomalies: every SELFIES is a molecule; this needs a run on SMILES")
    for name, value in detection(model, model.held_out(n, data=data), samples).items():
        print(f"{name:24} AUROC {value:.4f}")
