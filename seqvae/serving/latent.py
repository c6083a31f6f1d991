"""The Gaussian latent in numpy: samples of a posterior, its KL, importance weights.

The definitions are those of `seqvae.ops.gaussian_reference` and `seqvae.evaluation.likelihood`.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqvae.data.text import BOS, EOS
from seqvae.serving.philox import normal

Floats = np.ndarray[Any, np.dtype[np.float32]]


def sample(mean: Floats, log_variance: Floats, noise: Floats, scale: float = 1.0) -> Floats:
    """z = mean + deviation * scale * noise; shapes broadcast."""
    z: Floats = mean + np.exp(np.float32(0.5) * log_variance) * (noise * np.float32(scale))
    return z


def divergence(mean: Floats, log_variance: Floats) -> Floats:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over the last axis."""
    # expm1 keeps near-prior dimensions exact, where exp(v) - 1 - v would cancel.
    kl: Floats = np.float32(0.5) * (np.square(mean) + (np.expm1(log_variance) - log_variance))
    total: Floats = kl.sum(-1, dtype=np.float32)
    return total


def log_ratio(
    z: Floats, mean: Floats, log_variance: Floats, log_prior: Floats | None = None
) -> Floats:
    """log p(z) - log q(z | x) in nats for z [..., D], shape [...].

    Args:
        z: vectors.
        mean: of q.
        log_variance: of q.
        log_prior: log p(z), shape [...]; None: p is the standard normal, whose constant cancels.
    """
    squared = np.square(z - mean) * np.exp(-log_variance)
    if log_prior is not None:
        each = np.float32(0.5) * (squared + log_variance + np.float32(math.log(2 * math.pi)))
        learned: Floats = log_prior + each.sum(-1, dtype=np.float32)
        return learned
    ratio: Floats = np.float32(0.5) * (squared + log_variance - np.square(z))
    total: Floats = ratio.sum(-1, dtype=np.float32)
    return total


def importance_weighted(log_weights: Floats) -> float:
    """-log mean exp of the log-weights [K] (Burda et al. 2016, arXiv 1509.00519, eq. 8)."""
    top = float(log_weights.max())
    total = np.exp(log_weights.astype(np.float64) - top).sum()
    return math.log(len(log_weights)) - top - math.log(total)


def sequence_seed(ids: Sequence[int], seed: int, stream: str) -> int:
    """The seed of a text's noise, from what it says: its score is the same in any company.

    Args:
        ids: token ids without start and end tokens.
        seed: the user's.
        stream: name of a stream of noise.
    """
    key = seed.to_bytes(16, "little", signed=True)
    digest = hashlib.blake2b(digest_size=8, key=key, person=stream.encode())
    digest.update(np.array([BOS, *ids, EOS], "<i8").tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)


def sequence_noise(
    ids: Sequence[int], seed: int, stream: str, samples: int, dimension: int
) -> Floats:
    """Noise of `samples` samples of a text's posterior, shape [samples, D]."""
    return normal(sequence_seed(ids, seed, stream), (samples, dimension))
