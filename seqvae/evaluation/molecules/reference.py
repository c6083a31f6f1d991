"""What samples are compared with: statistics of a set of molecules, computed once and kept."""

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.moses import Part, moses_file, moses_smiles
from seqvae.evaluation.molecules.chemnet import Moments, moments
from seqvae.evaluation.molecules.facts import BITS, PROPERTIES, Facts, facts
from seqvae.evaluation.molecules.sets import Packed

_VERSION = 1


@dataclass(frozen=True)
class Statistics:
    """Of a set of molecules.

    Attributes:
        count: how many molecules.
        fingerprints: packed bits, shape [N, BITS / 8].
        fragments: how often each occurs.
        scaffolds: how often each occurs.
        properties: values by name, each [N].
        chemnet: None where the distance is not wanted.
    """

    count: int
    fingerprints: Packed
    fragments: Counter[str]
    scaffolds: Counter[str]
    properties: dict[str, "np.ndarray[Any, np.dtype[np.float64]]"]
    chemnet: Moments | None

    def save(self, path: Path) -> None:
        """Write a .npz of plain arrays."""
        arrays: dict[str, Any] = {"fingerprints": self.fingerprints, **self.properties}
        for name in ("fragments", "scaffolds"):
            found: Counter[str] = getattr(self, name)
            # As bytes: an array of strings takes the length of the longest for each.
            arrays[f"{name}_text"] = np.frombuffer("\n".join(found).encode(), np.uint8)
            arrays[f"{name}_count"] = np.array(list(found.values()), np.int64)
        if self.chemnet is not None:
            arrays["mean"], arrays["covariance"] = self.chemnet.mean, self.chemnet.covariance
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(partial, **arrays)
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> "Statistics":
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            counts = {}
            for name in ("fragments", "scaffolds"):
                texts = bytes(arrays[f"{name}_text"]).decode().split("\n")
                counts[name] = Counter(
                    dict(zip(texts, arrays[f"{name}_count"].tolist(), strict=False))
                )
            return Statistics(
                count=len(arrays["fingerprints"]),
                fingerprints=arrays["fingerprints"],
                fragments=counts["fragments"],
                scaffolds=counts["scaffolds"],
                properties={name: arrays[name] for name in PROPERTIES},
                chemnet=Moments(arrays["mean"], arrays["covariance"]) if "mean" in arrays else None,
            )


def statistics(found: Iterable[Facts], *, chemnet: bool, label: str = "chemnet") -> Statistics:
    """The statistics of molecules.

    Args:
        found: their facts, of which only numbers and strings are kept.
        chemnet: also read them with ChemNet, which takes several milliseconds a molecule.
        label: of the progress bar.
    """
    smiles: list[str] = []
    values = array("d")
    fingerprints = bytearray()
    fragments: Counter[str] = Counter()
    scaffolds: Counter[str] = Counter()
    for one in found:
        smiles.append(one.smiles)
        values.extend(one.properties)
        fingerprints += one.fingerprint.tobytes()
        fragments.update(one.fragments)
        if one.scaffold is not None:
            scaffolds[one.scaffold] += 1
    table = np.array(values, np.float64).reshape(-1, len(PROPERTIES))
    return Statistics(
        count=len(smiles),
        fingerprints=np.frombuffer(fingerprints, np.uint8).reshape(-1, BITS // 8),
        fragments=fragments,
        scaffolds=scaffolds,
        properties={name: table[:, i] for i, name in enumerate(PROPERTIES)},
        chemnet=moments(smiles, label) if chemnet else None,
    )


def moses_statistics(
    part: Part, *, cache: Path | None = None, processes: int = 1, limit: int | None = None
) -> Statistics:
    """Statistics of a part of MOSES, from `cache` or computed and put there.

    Those that the package ships are a pickle, which could run any code, and are not read.

    Args:
        part: test or test_scaffolds.
        cache: folder; by default ~/.cache/seqvae.
        processes: how many compute.
        limit: only molecules spread evenly over the part; the distances to fewer are a little larger.

    Raises:
        UserError: rdkit, molsets or fcd_torch is missing.
    """
    import rdkit

    folder = cache or Path.home() / ".cache" / "seqvae"
    # By size, not by content: it is a released file.
    facts_of_file = [_VERSION, rdkit.__version__, part, moses_file(part).stat().st_size, limit]
    key = hashlib.sha256(repr(facts_of_file).encode()).hexdigest()[:16]
    path = folder / f"moses-{part}-{key}.npz"
    if path.is_file():
        return Statistics.load(path)
    smiles = list(moses_smiles(part))
    if limit is not None and limit < len(smiles):
        smiles = [smiles[i] for i in np.linspace(0, len(smiles) - 1, limit).round().astype(int)]
    found = facts(smiles, processes=processes, label=part)
    made = statistics(
        (one for one in found if one is not None), chemnet=True, label=f"chemnet {part}"
    )
    made.save(path)
    return made
