"""Against what MOSES' authors and fcd_torch's compute, where their packages are installed."""

from importlib import import_module
from itertools import islice

import numpy as np
import pytest
import torch

from seqvae.data.chemistry import molecule
from seqvae.data.moses import moses_smiles
from seqvae.errors import UserError
from seqvae.evaluation.molecules import chemnet
from seqvae.evaluation.molecules.filters import passes, patterns

pytest.importorskip("rdkit")

try:
    SMILES = list(islice(moses_smiles("test"), 60))
except UserError:
    pytest.skip("molsets is not installed", allow_module_level=True)


def test_every_molecule_of_moses_passes_its_filters() -> None:
    assert len(patterns()) == 22 + 480
    assert all(pattern is not None for pattern in patterns())
    assert all(passes(molecule(text)) for text in SMILES[:20])
    # A charge, an atom, a ring of 8, an aldehyde (MCF), a quinone (PAINS).
    for text in ("C[N+](C)(C)C", "CP", "C1CCCCCCC1", "CC=O", "O=C1C=CC(=O)C=C1"):
        assert not passes(molecule(text)), text


# Of scipy, about how fcd_torch calls it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_distance_is_that_of_fcd_torch() -> None:
    published = pytest.importorskip("fcd_torch")
    half = len(SMILES) // 2
    a, b = chemnet.moments(SMILES[:half]), chemnet.moments(SMILES[half:])
    theirs = published.calculate_frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    assert chemnet.frechet(a, b) == pytest.approx(float(theirs), rel=1e-3)
    read = import_module("fcd_torch.utils").SmilesDataset(SMILES[:half])
    inputs = torch.from_numpy(np.stack([read[i] for i in range(half)])).transpose(1, 2).float()
    with torch.inference_mode():
        activations = chemnet._network()[0](inputs).double().numpy()
    np.testing.assert_allclose(a.mean, activations.mean(0), atol=1e-6)
    np.testing.assert_allclose(a.covariance, np.cov(activations.T), atol=1e-8)
