"""Better molecules near a given one: search in the latent for a property, held by similarity."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from seqvae.data.chemistry import canonical, molecule
from seqvae.data.properties import accessibility, logp, qed
from seqvae.errors import UserError
from seqvae.evaluation.molecules.facts import fingerprint
from seqvae.evaluation.molecules.sets import Packed
from seqvae.tasks.molecules.model import MoleculeModel

Property = Literal["qed", "logp", "penalized_logp", "sa"]


@dataclass(frozen=True)
class Search:
    """How the latent is searched."""

    property: Property = "qed"
    """qed: drug-likeness, 0 to 1; logp: octanol against water; penalized_logp: logP less synthetic accessibility and
    large rings; sa: ease of synthesis (10 less the score)."""
    similarity: float = 0.4
    """Least Tanimoto similarity of Morgan fingerprints (radius 2) to the start."""
    rounds: int = 20
    """Generations."""
    population: int = 64
    """Vectors decoded in each."""
    parents: int = 8
    """Molecules that the next generation starts from."""
    step: float = 0.6
    """First deviation of the steps, per dimension; it adapts: half after a round without a gain, and up again."""
    seed: int = 0
    """Of all steps."""

    def __post_init__(self) -> None:
        if self.property not in get_args(Property):
            raise UserError(
                f"--property {self.property!r} is not one of {', '.join(get_args(Property))}"
            )
        if not 0 <= self.similarity <= 1:
            raise UserError(f"--similarity is from 0 to 1, got {self.similarity}")
        for name in ("rounds", "population", "parents", "step"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name} must be above 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Found:
    """A search's outcome.

    Attributes:
        start: the molecule given, in rdkit's one spelling.
        before: its property.
        best: the best molecule that is similar enough; the start where none is better.
        after: its property.
        similarity: of the two.
        tried: different molecules that were looked at.
    """

    start: str
    before: float
    best: str
    after: float
    similarity: float
    tried: int

    @property
    def gain(self) -> float:
        """How much better."""
        return self.after - self.before


def optimize(
    model: MoleculeModel, smiles: Sequence[str], search: Search | None = None
) -> list[Found]:
    """Search around each molecule for one with more of a property.

    An evolution strategy in the latent: the best similar molecules so far are encoded again, and the next generation
    is decoded from around them. A decoded molecule is judged itself, so that a vector that means none costs nothing.

    Args:
        model: with a latent.
        smiles: where to start.
        search: how.

    Raises:
        UserError: a start is no molecule or too long, or the model has no latent.
    """
    search = search or Search()
    return [_optimize(model, one, search) for one in model_starts(smiles)]


def model_starts(smiles: Sequence[str]) -> list[str]:
    """Molecules in rdkit's one spelling.

    Raises:
        UserError: one is none.
    """
    spelled = [canonical(one) for one in smiles]
    for given, found in zip(smiles, spelled, strict=True):
        if found is None:
            raise UserError(f"{given!r} is not a molecule that rdkit can read")
    return [one for one in spelled if one is not None]


def _optimize(model: MoleculeModel, start: str, search: Search) -> Found:
    judge = JUDGES[search.property]
    generator = torch.Generator().manual_seed(search.seed)
    mine = fingerprint(molecule(start))
    before = judge(molecule(start))
    judged: dict[str, tuple[float, float]] = {start: (before, 1.0)}
    step = search.step
    best = before
    parents = [start]
    for _ in range(search.rounds):
        centres = model.encode(parents)
        around = centres[torch.arange(search.population) % len(centres)]
        noise = torch.randn(around.shape, generator=generator).to(around)
        for text in model.decode(around + step * noise):
            mol = molecule(text)
            spelled = None if mol is None else canonical(text)
            if spelled is None or spelled in judged:
                continue
            judged[spelled] = judge(mol), tanimoto(mine, fingerprint(mol))
        allowed = [one for one, (_, alike) in judged.items() if alike >= search.similarity]
        # Long chains may be more than the model can read: they stay results but are no parents.
        ranked = sorted(allowed, key=lambda one: -judged[one][0])
        parents = [one for one in ranked if _readable(model, one)][: search.parents]
        top = judged[ranked[0]][0]
        step = min(step * 1.2, 2 * search.step) if top > best else max(step / 2, search.step / 8)
        best = max(best, top)
    winner = max(
        (one for one, (_, alike) in judged.items() if alike >= search.similarity),
        key=lambda one: judged[one][0],
    )
    return Found(start, before, winner, *judged[winner], tried=len(judged) - 1)


def _readable(model: MoleculeModel, smiles: str) -> bool:
    try:
        model.model.read(model.read([smiles]))
    except UserError:
        return False
    return True


def tanimoto(a: Packed, b: Packed) -> float:
    """Similarity of two packed fingerprints [BITS / 8]."""
    shared, either = np.bitwise_count(a & b).sum(), np.bitwise_count(a | b).sum()
    return float(shared / either) if either else 1.0


def _penalized_logp(mol: object) -> float:
    """logP - SA - (size of the largest ring above 6), unnormalised (Gómez-Bombarelli et al. 2018)."""
    rings = mol.GetRingInfo().AtomRings()  # type: ignore[attr-defined]
    largest = max((len(ring) for ring in rings), default=0)
    return logp(mol) - accessibility(mol) - max(0, largest - 6)


JUDGES: dict[str, Callable[[object], float]] = {
    "qed": qed,
    "logp": logp,
    "penalized_logp": _penalized_logp,
    "sa": lambda mol: 10 - accessibility(mol),
}
"""Properties by name; more is better."""


def summary(found: Sequence[Found]) -> dict[str, float]:
    """Of many searches: share improved, mean gain, mean similarity."""
    n = len(found)
    if not n:
        return {"improved": math.nan, "gain": math.nan, "similarity": math.nan}
    return {
        "improved": sum(one.gain > 0 for one in found) / n,
        "gain": sum(one.gain for one in found) / n,
        "similarity": sum(one.similarity for one in found) / n,
    }
