"""The latent in numpy is that of PyTorch."""

import math

import numpy as np
import pytest
import torch

from seqvae.evaluation.likelihood import sequence_seeds
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Standard
from seqvae.serving import latent
from seqvae.serving.interpolation import between
from seqvae.tasks import interpolate
from seqvae.tasks.texts import batch_of

ROWS, SIZE = 4, 6
MEAN = np.random.default_rng(0).normal(size=(ROWS, SIZE)).astype(np.float32)
LOG_VARIANCE = np.random.default_rng(1).normal(-1, 2, size=(ROWS, SIZE)).astype(np.float32)
POSTERIOR = DiagonalGaussian(torch.tensor(MEAN), torch.tensor(LOG_VARIANCE))
IDS = [[7, 8, 9], [], [5] * 20]


@pytest.mark.parametrize("seed", [0, -3, 2**63 - 1])
def test_a_text_has_the_noise_it_has_in_pytorch(seed: int) -> None:
    batch = batch_of(IDS, torch.device("cpu"))
    for stream in ("posterior", "score"):
        seeds = [latent.sequence_seed(ids, seed, stream) for ids in IDS]
        assert seeds == sequence_seeds(batch, seed, stream)
        wanted = POSTERIOR.select(slice(0, 1)).sample(torch.tensor(seeds[:1]), 3)[:, 0]
        noise = latent.sequence_noise(IDS[0], seed, stream, 3, SIZE)
        found = latent.sample(MEAN[0], LOG_VARIANCE[0], noise)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_densities_and_divergence() -> None:
    z = np.random.default_rng(2).normal(size=(5, ROWS, SIZE)).astype(np.float32)
    wanted = Standard().build(SIZE).log_prob(torch.tensor(z)) - POSTERIOR.log_prob(torch.tensor(z))
    found = latent.log_ratio(z, MEAN, LOG_VARIANCE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-4)
    kl = latent.divergence(MEAN, LOG_VARIANCE)
    np.testing.assert_allclose(kl, POSTERIOR.kl().sum(1).numpy(), rtol=1e-6)
    # Next to the prior nothing cancels.
    near = latent.divergence(np.zeros((1, 1), np.float32), np.full((1, 1), 1e-3, np.float32))
    assert float(near[0]) == pytest.approx(0.25e-6, rel=1e-3)


def test_importance_weights() -> None:
    weights = np.array([-1000.0, -1001.0, -1000.5], np.float32)
    wanted = math.log(3) - float(torch.tensor(weights).double().logsumexp(0))
    assert latent.importance_weighted(weights) == pytest.approx(wanted, rel=1e-9)
    assert latent.importance_weighted(weights[:1]) == 1000.0


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("steps", [2, 3, 7])
def test_the_way_is_that_of_pytorch(spherical: bool, steps: int) -> None:
    pairs = [
        (MEAN[0], MEAN[1]),
        (MEAN[0], 2 * MEAN[0]),
        (MEAN[0], -MEAN[0]),
        (0 * MEAN[0], MEAN[1]),
    ]
    for first, last in pairs:
        found = between(first, last, steps, spherical=spherical)
        way = torch.linspace(0, 1, steps)
        wanted = interpolate.between(
            torch.tensor(first), torch.tensor(last), way, spherical=spherical
        )
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
        np.testing.assert_allclose(found[[0, -1]], [first, last], atol=1e-6)
