"""The MOSES table of a set of samples (Polykovskiy et al. 2020, arXiv 1811.12823, section 4)."""

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from seqvae.data.chemistry import canonical
from seqvae.data.moses import Part, moses_smiles
from seqvae.errors import UserError
from seqvae.evaluation.molecules.chemnet import frechet
from seqvae.evaluation.molecules.facts import PROPERTIES, Facts, facts
from seqvae.evaluation.molecules.reference import Statistics, moses_statistics, statistics
from seqvae.evaluation.molecules.sets import cosine, internal_diversity, nearest, wasserstein

REFERENCES: dict[str, Part] = {"test": "test", "test_sf": "test_scaffolds"}


def moses_scores(
    samples: Sequence[str],
    *,
    cache: Path | None = None,
    processes: int = 1,
    reference_limit: int | None = None,
    training: Collection[str] | None = None,
) -> dict[str, float]:
    """All figures of MOSES' table, against its test set and its test set of unseen scaffolds.

    Args:
        samples: SMILES as a model wrote them, molecules or not.
        cache: folder for what the test sets say, which takes long to compute; by default ~/.cache/seqvae.
        processes: how many compute.
        reference_limit: use only this many molecules of each test set.
        training: molecules that are not novel, in rdkit's one spelling; by default MOSES' training set.

    Returns:
        Names to figures: valid, unique@1000, unique@10000, filters, novelty, internal_diversity_1 and _2, and against
        each reference fcd/, snn/, frag/, scaf/ and the distances of the properties.

    Raises:
        UserError: fewer than two samples are molecules, or rdkit, molsets or fcd_torch is missing.
    """
    references = {
        name: moses_statistics(part, cache=cache, processes=processes, limit=reference_limit)
        for name, part in REFERENCES.items()
    }
    known = moses_smiles("train") if training is None else training
    found = list(facts(samples, filtered=True, processes=processes, label="samples"))
    molecules = [one for one in found if one is not None]
    scores = set_scores(found, set(known))
    mine = statistics(molecules, chemnet=True, label="chemnet samples")
    for name, reference in references.items():
        scores |= {f"{key}/{name}": value for key, value in distances(mine, reference).items()}
    return scores


def set_scores(
    found: Sequence[Facts | None], training: Collection[str] | None = None
) -> dict[str, float]:
    """What can be said of samples without a reference set.

    Args:
        found: the samples' facts, None where one is no molecule.
        training: molecules that are not novel; None: novelty is left out.

    Raises:
        UserError: none is a molecule.
    """
    molecules = [one for one in found if one is not None]
    if not molecules:
        raise UserError(f"none of {len(found):,} samples is a molecule")
    scores = {"valid": len(molecules) / len(found)}
    for k in (1000, 10_000):
        first = [one.smiles for one in molecules[:k]]
        # Of fewer than k another figure: uniqueness falls as their number grows.
        scores[f"unique@{k}"] = len(set(first)) / k if len(first) == k else math.nan
    if all(one.passes is not None for one in molecules):
        scores["filters"] = float(np.mean([bool(one.passes) for one in molecules]))
    if training is not None:
        different = {one.smiles for one in molecules}
        scores["novelty"] = sum(one not in training for one in different) / len(different)
    diversity = internal_diversity(np.stack([one.fingerprint for one in molecules]))
    scores["internal_diversity_1"], scores["internal_diversity_2"] = diversity
    return scores


def distances(mine: Statistics, reference: Statistics) -> dict[str, float]:
    """What can be said of samples beside a reference set."""
    figures: dict[str, Callable[[], float]] = {
        "snn": lambda: nearest(mine.fingerprints, reference.fingerprints),
        "frag": lambda: cosine(mine.fragments, reference.fragments),
        "scaf": lambda: cosine(mine.scaffolds, reference.scaffolds),
    }
    scores = {name: figure() for name, figure in figures.items()}
    if mine.chemnet is not None and reference.chemnet is not None:
        scores["fcd"] = frechet(mine.chemnet, reference.chemnet)
    for name in PROPERTIES:
        scores[name] = wasserstein(mine.properties[name], reference.properties[name])
    return scores


def reconstructed(molecules: Sequence[str], written: Sequence[str]) -> float:
    """Share of molecules that were written again exactly: the same molecule, however it is spelled.

    Args:
        molecules: SMILES that rdkit can read.
        written: what the model made of each.
    """
    pairs = list(zip(molecules, written, strict=True))
    same = sum(a == b or canonical(a) == (canonical(b) or "") for a, b in pairs)
    return same / len(pairs) if pairs else math.nan
