"""MOSES' filters: medicinal chemistry filters and PAINS, whose patterns the package `molsets` ships."""

import csv
from functools import cache
from typing import Any

from seqvae.data.chemistry import chem
from seqvae.data.moses import moses_folder

ATOMS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
LARGEST_RING = 7


@cache
def patterns() -> tuple[Any, ...]:
    """The patterns that no molecule of MOSES contains: 22 MCF, then 480 PAINS (Baell and Holloway 2010).

    Raises:
        UserError: rdkit or molsets is missing.
    """
    folder = moses_folder() / "metrics"
    with (folder / "mcf.csv").open(newline="", encoding="utf-8") as file:
        smarts = [row["smarts"] for row in csv.DictReader(file)]
    with (folder / "wehi_pains.csv").open(newline="", encoding="utf-8") as file:
        smarts += [row[0] for row in csv.reader(file) if row]
    return tuple(chem().MolFromSmarts(text.strip()) for text in smarts)


def passes(mol: Any) -> bool:  # noqa: ANN401
    """Whether a molecule has only ATOMS, no charge, no ring of 8 atoms or more, and none of the patterns."""
    if any(len(ring) > LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in ATOMS for atom in mol.GetAtoms()):
        return False
    # Patterns name hydrogens.
    whole = chem().AddHs(mol)
    return bool(mol.GetNumAtoms()) and not any(whole.HasSubstructMatch(p) for p in patterns())
