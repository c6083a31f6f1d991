"""Fréchet ChemNet distance: how far apart two sets of molecules lie in what a network sees of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from seqvae.errors import UserError

_LENGTH = 350
_BATCH = 128

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Moments:
    """Of activations of ChemNet's last hidden layer: `mean` [512] and `covariance` [512, 512]."""

    mean: Array
    covariance: Array


def moments(smiles: Sequence[str], label: str = "chemnet") -> Moments:
    """The moments of molecules.

    Args:
        smiles: at least two molecules, in rdkit's one spelling (the network reads the string).
        label: of the progress bar.

    Raises:
        UserError: the package fcd_torch is missing, or fewer than two molecules.
    """
    if len(smiles) < 2:
        raise UserError(
            f"the Fréchet ChemNet distance needs 2 molecules or more, got {len(smiles)}"
        )
    total, products, first = np.zeros(512), np.zeros((512, 512)), None
    for block in _activations(smiles, label):
        # About the first molecule: squares of what is far from zero would cancel.
        first = block[0] if first is None else first
        block = block - first
        total += block.sum(0)
        products += block.T @ block
    assert first is not None
    mean = total / len(smiles)
    covariance = (products - len(smiles) * np.outer(mean, mean)) / (len(smiles) - 1)
    return Moments(mean + first, covariance)


def frechet(a: Moments, b: Moments) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) (Preuer et al. 2018, eq. 1)."""
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # C1 C2 has the eigenvalues of the symmetric C1^1/2 C2 C1^1/2.
    shared = np.sqrt(np.linalg.eigvalsh(root @ b.covariance @ root).clip(0)).sum()
    apart = float(((a.mean - b.mean) ** 2).sum())
    return apart + float(np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared)


def _activations(smiles: Sequence[str], label: str) -> Iterator[Array]:
    network, encode = _network()
    with tqdm(total=len(smiles), desc=label, unit="molecule", disable=None) as bar:
        for begin in range(0, len(smiles), _BATCH):
            part = smiles[begin : begin + _BATCH]
            # Shares of ones, as the network was trained: each row is divided by the size of the alphabet.
            read = np.stack([encode(text, _LENGTH) for text in part])
            inputs = torch.from_numpy(read / read.shape[2]).float().transpose(1, 2)
            with torch.inference_mode():
                yield network(inputs).double().numpy()
            bar.update(len(part))


@cache
def _network() -> tuple[Any, Any]:
    try:
        package: Any = import_module("fcd_torch")
        utils: Any = import_module("fcd_torch.utils")
    except ImportError as error:
        raise UserError(
            "the Fréchet ChemNet distance needs an extra: pip install 'seqvae[molecules]'"
        ) from error
    weights = Path(package.__file__).with_name("ChemNet_v0.13_pretrained.pt")
    # Its own class loads the file in a way that may run code, and stacks in a way that numpy 2 has no more.
    layers = torch.load(weights, weights_only=True)
    return utils.load_imported_model(layers).eval(), utils.get_one_hot
