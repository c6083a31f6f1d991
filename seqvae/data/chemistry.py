"""The package rdkit, imported where it is needed, and what is asked of it everywhere."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from seqvae.errors import UserError


@cache
def chem() -> ModuleType:
    """`rdkit.Chem`, its warnings about unreadable strings switched off: these are counted instead.

    Raises:
        UserError: rdkit is not installed.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise UserError("molecules need an extra: pip install 'seqvae[molecules]'") from error
    rdBase.DisableLog("rdApp.*")
    module: ModuleType = Chem
    return module


def rdkit(module: str) -> Any:  # noqa: ANN401  # half of rdkit has no types
    """A module of rdkit by its name below it, e.g. Chem.BRICS.

    Raises:
        UserError: rdkit is not installed.
    """
    chem()
    return import_module(f"rdkit.{module}")


def molecule(smiles: str) -> Any:  # noqa: ANN401  # rdkit's Mol has no types
    """The sanitised molecule, or None where the string is none (an empty one is none)."""
    return chem().MolFromSmiles(smiles) if smiles else None


def canonical(smiles: str) -> str | None:
    """rdkit's one spelling of a molecule, or None where the string is none."""
    mol = molecule(smiles)
    return None if mol is None else str(chem().MolToSmiles(mol))
