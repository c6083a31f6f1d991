"""What is said of molecules, and of sets of them, on cases worked out by hand."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seqvae.data.chemistry import molecule
from seqvae.errors import UserError
from seqvae.evaluation.molecules.facts import facts, facts_of, scaffold
from seqvae.evaluation.molecules.published import COLUMNS, table
from seqvae.evaluation.molecules.reference import Statistics, statistics
from seqvae.evaluation.molecules.score import distances, reconstructed, set_scores
from seqvae.evaluation.molecules.sets import (
    cosine,
    internal_diversity,
    nearest,
    tanimoto,
    wasserstein,
)

pytest.importorskip("rdkit")

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SEVERAL = [
    ASPIRIN,
    "c1ccc2ccccc2c1",
    "CCO",
    "CC(=O)Nc1ccc(O)cc1",
    "CCOc1ccccc1",
    "CN1CCC[C@H]1c1cccnc1",
]


def test_the_facts_of_aspirin() -> None:
    found = facts_of("O=C(C)Oc1ccccc1C(=O)O")
    assert found is not None
    assert found.smiles == ASPIRIN
    logp, accessibility, qed, weight = found.properties
    # PubChem CID 2244: 180.16 g/mol; the rest as rdkit's documentation and the papers have them.
    assert weight == pytest.approx(180.16, abs=0.01)
    assert logp == pytest.approx(1.31, abs=0.01)
    assert qed == pytest.approx(0.55, abs=0.01)
    assert accessibility == pytest.approx(1.58, abs=0.02)
    # Three bonds are BRICS': both of the ester's oxygen, and the ring's to the acid.
    parts = {"[16*]c1ccccc1[16*]", "[1*]C(C)=O", "[3*]O[3*]", "[6*]C(=O)O"}
    assert set(found.fragments) == parts
    assert len(found.fragments) == 4
    assert found.scaffold is None  # one ring
    assert found.passes is None


def test_what_is_no_molecule_has_no_facts() -> None:
    assert [facts_of(text) for text in ("C(", "", "c1ccccc", "C=C(=O)=O=C")] == [None] * 4


def test_scaffolds_have_two_rings_or_more() -> None:
    assert scaffold(molecule("CCc1ccc(Cc2ccccn2)cc1")) == "c1ccc(Cc2ccccn2)cc1"
    assert scaffold(molecule("CCc1ccccc1")) is None


def test_the_order_is_kept_over_processes() -> None:
    texts = SEVERAL * 70 + ["no molecule"]
    alone = [one and one.smiles for one in facts(texts)]
    assert alone == [one and one.smiles for one in facts(texts, processes=2)]
    assert alone[-1] is None


def test_similarity_is_shared_bits_over_all_bits() -> None:
    a = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]])
    b = torch.tensor([[1.0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(tanimoto(a, b), torch.tensor([[1 / 3, 1, 0], [0, 0, 1.0]]))


def test_neighbours_and_diversity() -> None:
    # Two molecules that share 1 of 3 bits, in fingerprints of 8.
    pair = np.packbits(np.array([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]], np.uint8), 1)
    assert nearest(pair, pair) == pytest.approx(1.0)
    assert nearest(pair[:1], pair[1:]) == pytest.approx(1 / 3)
    first, second = internal_diversity(pair)
    assert first == pytest.approx(1 - (1 + 1 / 3) / 2)
    assert second == pytest.approx(1 - math.sqrt((1 + 1 / 9) / 2))
    assert math.isnan(nearest(pair[:0], pair))


def test_counts_and_values() -> None:
    assert cosine({"a": 3, "b": 4}, {"b": 5}) == pytest.approx(4 / 5)
    assert cosine({"a": 1}, {"b": 1}) == 0.0
    assert math.isnan(cosine({}, {"b": 1}))
    # Half of the mass moves by 2; a point against two points.
    assert wasserstein(np.array([0.0, 1]), np.array([0.0, 3])) == pytest.approx(1.0)
    assert wasserstein(np.array([1.0]), np.array([0.0, 4])) == pytest.approx(2.0)
    assert wasserstein(np.array([1.0, 1]), np.array([1.0])) == 0.0


def test_the_distance_of_values_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=50), generator.normal(1, 2, size=83)
    assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9)


def test_scores_of_a_set() -> None:
    found = [facts_of(text) for text in (ASPIRIN, "OCC", "CCO", "C(", "c1ccccc1")]
    scores = set_scores(found, {"CCO"})
    assert scores["valid"] == pytest.approx(4 / 5)
    assert scores["novelty"] == pytest.approx(2 / 3)
    assert math.isnan(scores["unique@1000"])
    one = facts_of("CCO")
    assert one is not None
    many = set_scores([replace(one, smiles=str(i % 500)) for i in range(1200)])
    assert many["unique@1000"] == pytest.approx(0.5)
    assert "novelty" not in many
    with pytest.raises(UserError, match="none of 1 samples"):
        set_scores([None])


def test_a_set_lies_at_no_distance_from_itself(tmp_path: Path) -> None:
    pytest.importorskip("fcd_torch")
    found = [one for one in map(facts_of, SEVERAL) if one is not None]
    mine = statistics(found, chemnet=True)
    mine.save(tmp_path / "kept.npz")
    kept = Statistics.load(tmp_path / "kept.npz")
    assert kept.fragments == mine.fragments
    assert kept.scaffolds == mine.scaffolds == Counter(["c1ccc2ccccc2c1", "c1cncc([C@@H]2CCCN2)c1"])
    same = distances(mine, kept)
    assert same.pop("snn") == pytest.approx(1.0)
    assert same.pop("frag") == pytest.approx(1.0)
    assert same.pop("scaf") == pytest.approx(1.0)
    assert same == pytest.approx(dict.fromkeys(same, 0.0), abs=1e-4)
    assert mine.count == kept.count == len(SEVERAL)


def test_molecules_written_otherwise_are_the_same() -> None:
    assert reconstructed(["CCO", ASPIRIN, "CCN"], ["OCC", ASPIRIN, "CC("]) == pytest.approx(2 / 3)


def test_the_table_shows_what_was_measured_above_what_was_published() -> None:
    lines = table({"mine": {"valid": 0.98765, "novelty": math.nan}}).splitlines()
    assert lines[2].startswith("| mine | 0.9877 |  |")
    assert "| VAE (published) | 0.9767 | 1 | 0.9984 | 0.099 | 0.567 |" in lines[4]
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}
