"""Properties of molecules by name, computed by rdkit."""

from collections.abc import Callable
from typing import Any, Literal

from seqvae.data.chemistry import rdkit

PropertyName = Literal["logp", "sa", "qed", "weight"]


def logp(mol: Any) -> float:  # noqa: ANN401  # rdkit's Mol has no types
    """Octanol against water, log10 of the partition coefficient (Wildman and Crippen 1999)."""
    return float(rdkit("Chem.Crippen").MolLogP(mol))


def accessibility(mol: Any) -> float:  # noqa: ANN401
    """Synthetic accessibility, 1 (easy) to 10 (Ertl and Schuffenhauer 2009)."""
    return float(rdkit("Contrib.SA_Score.sascorer").calculateScore(mol))


def qed(mol: Any) -> float:  # noqa: ANN401
    """Drug-likeness, 0 to 1 (Bickerton et al. 2012)."""
    return float(rdkit("Chem.QED").qed(mol))


def weight(mol: Any) -> float:  # noqa: ANN401
    """Average weight in dalton."""
    return float(rdkit("Chem.Descriptors").MolWt(mol))


BY_NAME: dict[PropertyName, Callable[[Any], float]] = {
    "logp": logp,
    "sa": accessibility,
    "qed": qed,
    "weight": weight,
}
