"""What each level of a latent carries, where its parts are inferred or expected one after the other."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqvae.evaluation.collapse import Aggregate, kl_by_dimension
from seqvae.latent import Latent
from seqvae.posteriors import Posterior

# 2**22 log-densities at once: 16 MiB.
_CHUNK_ELEMENTS = 1 << 22


def by_level(latent: Latent, aggregate: Aggregate, seed: int = 0) -> dict[str, float]:
    """`kl_1`, `kl_2` ... and `mi_1`, `mi_2` ... in nats per sequence, from the top level down.

    The KLs are those given the levels above and sum to the whole; the MIs are the parts of
    `level_information`. Empty where z is of one part; without MIs, where q is no product of Gaussians;
    without KLs, where the KL is one number.

    Args:
        latent: whose levels.
        aggregate: what was gathered of it.
        seed: fixes the samples behind the MIs.
    """
    if len(latent.sizes) == 1:
        return {}
    kl = latent.by_level("kl", kl_by_dimension(aggregate.kl_dimensions)[None])
    found = {name: float(part.sum()) for name, part in kl.items() if name != "kl"}
    with torch.no_grad():
        information = level_information(aggregate.posterior, latent.sizes, seed)
    return found | {f"mi_{number}": nats for number, nats in enumerate(information or [], 1)}


def level_kls(measured: Mapping[str, Any]) -> list[float]:
    """The KL of each level in what was measured, from the top down; none where z is of one part."""
    numbers = itertools.takewhile(lambda number: f"kl_{number}" in measured, itertools.count(1))
    return [measured[f"kl_{number}"] for number in numbers]


def level_information(posterior: Posterior, sizes: list[int], seed: int = 0) -> list[float] | None:
    """I(x; z_1), I(x; z_2 | z_1), ... in nats: by the chain rule they sum to I(x; z).

    Each is how much better the levels down to it tell the N sequences apart than those above it do. None
    of the partial sums can exceed ln N: levels below one that tells all of them apart show nothing.

    Args:
        posterior: of N sequences.
        sizes: dimensions of each level.
        seed: fixes the samples.

    Returns:
        None where the density of the upper levels alone is not known.
    """
    rows, dimension = posterior.mean.shape
    z = posterior.sample(torch.tensor([seed], device=posterior.mean.device))[0]
    sums = torch.zeros(len(sizes), dtype=torch.float64)
    chunk = max(1, _CHUNK_ELEMENTS // (rows * dimension))
    for begin in range(0, rows, chunk):
        own = z[begin : begin + chunk, None]
        statistics = posterior.conditional(own)
        if statistics is None:
            return None
        density = torch.split(_log_density(own, *statistics), sizes, -1)
        # Of the levels down to each, for all pairs of a sample and a sequence.
        joint = torch.stack([level.double().sum(-1) for level in density]).cumsum(0)
        right = joint.diagonal(begin, 1, 2)
        sums += (right - joint.logsumexp(2)).sum(1).cpu()
    partial = (sums / rows + math.log(rows)).tolist()
    return [now - before for now, before in zip(partial, [0.0, *partial], strict=False)]


def _log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of each dimension, less a constant."""
    return -0.5 * ((z - mean).square() * torch.exp(-log_variance) + log_variance)
