"""Strings that are no molecules, told from molecules by a model that knows no chemistry."""

import random
from collections.abc import Sequence
from typing import Any, Literal, get_args

from seqvae.data.chemistry import chem, molecule
from seqvae.data.smiles import CHARACTERS, tokens
from seqvae.tasks.auroc import auroc
from seqvae.tasks.molecules.model import MoleculeModel

Damage = Literal["character", "valence"]
"""character: one character lost, changed or put in, so that rdkit cannot read the string; valence: one atom changed to an
element that has fewer bonds than its place needs."""
_TRIES = 200


def broken(smiles: str, damage: Damage, seed: int = 0) -> str | None:
    """A molecule's string damaged in one place; None where no place was found.

    Args:
        smiles: a molecule.
        damage: how.
        seed: where.
    """
    chance = random.Random(f"{seed} {damage} {smiles}")
    for _ in range(_TRIES):
        made = _mutated(smiles, chance) if damage == "character" else _changed_atom(smiles, chance)
        if molecule(made) is None and (damage == "character" or _is_of_valence(made)):
            return made
    return None


def _mutated(smiles: str, chance: random.Random) -> str:
    place = chance.randrange(len(smiles))
    cut = chance.choice((0, 1))
    put = chance.choice(("", chance.choice(CHARACTERS)) if cut else (chance.choice(CHARACTERS),))
    return smiles[:place] + put + smiles[place + cut :]


def _changed_atom(smiles: str, chance: random.Random) -> str:
    parts = tokens(smiles)
    places = [i for i, part in enumerate(parts) if part in ("C", "N", "O", "S")]
    if not places:
        return smiles
    parts[chance.choice(places)] = chance.choice(("F", "Cl", "O", "N"))
    return "".join(parts)


def _is_of_valence(smiles: str) -> bool:
    mol = chem().MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return False
    problems: Any = chem().DetectChemistryProblems(mol)
    return any(problem.GetType() == "AtomValenceException" for problem in problems)


def detection(
    model: MoleculeModel, molecules: Sequence[str], samples: int = 20
) -> dict[str, float]:
    """AUROC with which a model's cost tells damaged strings from whole ones: 0.5 is chance, 1 never wrong.

    Args:
        model: of SMILES.
        molecules: never seen in training.
        samples: K of the likelihood.

    Returns:
        By damage, of -log p(x) in nats, and of the same per character of the string.
    """
    whole = _costs(model, molecules, samples)
    found: dict[str, float] = {}
    for damage in get_args(Damage):
        made = [text for text in (broken(one, damage) for one in molecules) if text is not None]
        damaged = _costs(model, made, samples)
        found[damage] = auroc([nll for nll, _ in whole], [nll for nll, _ in damaged])
        found[f"{damage}_per_character"] = auroc([c for _, c in whole], [c for _, c in damaged])
    return found


def _costs(model: MoleculeModel, texts: Sequence[str], samples: int) -> list[tuple[float, float]]:
    scores = model.model.score(texts, samples)
    return [(one.nll_iw, one.nll_iw / len(one.text)) for one in scores]
