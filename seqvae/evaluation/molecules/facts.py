"""What is computed of each molecule, over several processes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
from tqdm import tqdm

from seqvae.data.chemistry import chem, molecule, rdkit
from seqvae.data.properties import BY_NAME, accessibility, logp, qed, weight
from seqvae.evaluation.molecules.filters import passes

BITS = 1024
"""Of a fingerprint."""
PROPERTIES = tuple(BY_NAME)
_CHUNK = 200


@dataclass(frozen=True)
class Facts:
    """What is known of one molecule.

    Attributes:
        smiles: rdkit's one spelling.
        fingerprint: Morgan bits of radius 2, packed, shape [BITS / 8], uint8.
        properties: logP, synthetic accessibility, QED, weight in dalton: in the order of PROPERTIES.
        fragments: what is left when its BRICS bonds are cut (Degen et al. 2008).
        scaffold: its Bemis-Murcko scaffold, None where that has fewer than two rings.
        passes: whether it passes MOSES' filters; None where that was not asked for.
    """

    smiles: str
    fingerprint: "np.ndarray[Any, np.dtype[np.uint8]]"
    properties: tuple[float, float, float, float]
    fragments: tuple[str, ...]
    scaffold: str | None
    passes: bool | None


def facts_of(smiles: str, *, filtered: bool = False) -> Facts | None:
    """The facts of a molecule, as MOSES defines them (Polykovskiy et al. 2020, section 4); None where it is none.

    Args:
        smiles: its string.
        filtered: also try the filters, which takes longer than all the rest.

    Raises:
        UserError: rdkit is missing, or molsets for the filters.
    """
    mol = molecule(smiles)
    if mol is None:
        return None
    fragments = chem().MolToSmiles(rdkit("Chem.BRICS").BreakBRICSBonds(mol)).split(".")
    return Facts(
        smiles=str(chem().MolToSmiles(mol)),
        fingerprint=fingerprint(mol),
        properties=properties(mol),
        fragments=tuple(fragments),
        scaffold=scaffold(mol),
        passes=passes(mol) if filtered else None,
    )


def properties(mol: Any) -> tuple[float, float, float, float]:  # noqa: ANN401
    """See `seqvae.data.properties`; in the order of PROPERTIES."""
    return logp(mol), accessibility(mol), qed(mol), weight(mol)


def fingerprint(mol: Any) -> "np.ndarray[Any, np.dtype[np.uint8]]":  # noqa: ANN401
    """Morgan bits (Rogers and Hahn 2010) of radius 2, packed, shape [BITS / 8]."""
    return np.packbits(_generator().GetFingerprintAsNumPy(mol).astype(np.uint8))


@cache
def _generator() -> Any:  # noqa: ANN401
    return rdkit("Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2, fpSize=BITS)


def scaffold(mol: Any, least_rings: int = 2) -> str | None:  # noqa: ANN401
    """The Bemis-Murcko scaffold as SMILES; None where it has fewer rings."""
    try:
        core = rdkit("Chem.Scaffolds.MurckoScaffold").GetScaffoldForMol(mol)
    except (ValueError, RuntimeError):
        return None
    if core.GetRingInfo().NumRings() < least_rings:
        return None
    return str(chem().MolToSmiles(core)) or None


def facts(
    smiles: Sequence[str], *, filtered: bool = False, processes: int = 1, label: str = "molecules"
) -> Iterator[Facts | None]:
    """The facts of many molecules, in their order.

    Args:
        smiles: their strings.
        filtered: also try the filters.
        processes: how many work at it; the results are the same.
        label: of the progress bar.
    """
    chem()
    work = partial(_several, filtered=filtered)
    chunks = (list(smiles[i : i + _CHUNK]) for i in range(0, len(smiles), _CHUNK))
    with tqdm(total=len(smiles), desc=label, unit="molecule", disable=None) as bar:
        for found in _mapped(work, chunks, processes):
            bar.update(len(found))
            yield from found


def _several(smiles: list[str], *, filtered: bool) -> list[Facts | None]:
    return [facts_of(one, filtered=filtered) for one in smiles]


def _mapped(
    work: Any,  # noqa: ANN401
    chunks: Iterator[list[str]],
    processes: int,
) -> Iterator[list[Facts | None]]:
    if processes < 2:
        yield from map(work, chunks)
        return
    # Spawned: a fork of a process in which torch runs threads may stand still for ever.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        # Not all at once: the results of what is asked for wait in memory.
        while several := list(islice(chunks, 8 * processes)):
            yield from pool.map(work, several)
