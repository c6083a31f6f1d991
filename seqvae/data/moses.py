"""MOSES (Polykovskiy et al. 2020, arXiv 1811.12823): the data and statistics that the package `molsets` ships.

Only its files are used. Its code needs versions of pandas and rdkit that no longer install, so the package goes in
without what it asks for: pip install --no-deps molsets.
"""

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from seqvae.errors import UserError

Part = Literal["train", "test", "test_scaffolds"]
SIZES: dict[Part, int] = {"train": 1_584_663, "test": 176_074, "test_scaffolds": 176_225}


def moses_folder() -> Path:
    """Where the installed package lies.

    Raises:
        UserError: it is not installed.
    """
    # The package itself is not imported: that would run its code.
    spec = find_spec("moses")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    folder = Path(places[0]) if places else Path()
    if not places or not (folder / "dataset" / "data" / "train.csv.gz").is_file():
        raise UserError(
            "MOSES comes with a package that must be installed alone: pip install --no-deps molsets"
        )
    return folder


def moses_file(part: Part) -> Path:
    """A part of the data set: .csv.gz with one column, SMILES.

    Raises:
        UserError: the package is not installed.
    """
    return moses_folder() / "dataset" / "data" / f"{part}.csv.gz"


def moses_smiles(part: Part) -> Iterator[str]:
    """The molecules of a part, in the file's order.

    Raises:
        UserError: the package is not installed.
    """
    with gzip.open(moses_file(part), "rt", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            yield line.strip()
