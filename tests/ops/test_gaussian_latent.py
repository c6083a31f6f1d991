"""The Gaussian latent: closed forms, gradients, dtypes, samples."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from seqvae.ops import gaussian_kl, gaussian_latent, normal

SEED = torch.tensor([11])


def inputs(rows: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    mean = normal(SEED, (rows, dim), offset=100).to(dtype)
    log_variance = normal(SEED, (rows, dim), offset=101).to(dtype)
    return mean, log_variance


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (3, 63), (5, 257), (0, 4)])
def test_kl_equals_the_distribution_library(rows: int, dim: int) -> None:
    mean, log_variance = inputs(rows, dim)
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    prior = Normal(torch.zeros_like(mean.double()), torch.ones_like(mean.double()))
    expected = kl_divergence(posterior, prior).float()
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected, atol=1e-6, rtol=1e-5)


def test_kl_is_exact_and_not_negative_near_the_prior() -> None:
    log_variance = torch.tensor([0.0, 1e-4, -1e-4, 1e-3])
    kl = gaussian_kl(torch.zeros(4), log_variance)
    # KL = v^2 / 4 + O(v^3) for mean 0.
    torch.testing.assert_close(kl, log_variance.square() / 4, atol=5e-8, rtol=1e-2)
    assert float(kl.min()) >= 0.0


@pytest.mark.parametrize("samples", [None, 1, 3])
def test_z_is_mean_plus_deviation_times_noise(samples: int | None) -> None:
    mean, log_variance = inputs(5, 7)
    z, kl = gaussian_latent(mean, log_variance, SEED, offset=2, samples=samples, noise_scale=0.5)
    shape = mean.shape if samples is None else (samples, *mean.shape)
    expected = mean + 0.5 * (0.5 * log_variance).exp() * normal(SEED, shape, 2)
    torch.testing.assert_close(z, expected)
    assert z.shape == torch.Size(shape)
    assert torch.equal(kl, gaussian_kl(mean, log_variance))


def test_no_noise_gives_the_mean() -> None:
    mean, log_variance = inputs(5, 7)
    z, _ = gaussian_latent(mean, log_variance, SEED, noise_scale=0.0)
    assert torch.equal(z, mean)


def test_the_first_sample_is_the_single_sample() -> None:
    mean, log_variance = inputs(3, 5)
    one, _ = gaussian_latent(mean, log_variance, SEED)
    many, _ = gaussian_latent(mean, log_variance, SEED, samples=4)
    assert torch.equal(many[0], one)
    assert not torch.equal(many[1], one)


def test_frames_are_rows() -> None:
    mean, log_variance = inputs(6, 5)
    z, kl = gaussian_latent(mean, log_variance, SEED)
    framed_z, framed_kl = gaussian_latent(
        mean.reshape(2, 3, 5), log_variance.reshape(2, 3, 5), SEED
    )
    assert torch.equal(framed_z.reshape(6, 5), z)
    assert torch.equal(framed_kl.reshape(6, 5), kl)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_z_keeps_the_dtype_and_kl_is_float32(dtype: torch.dtype) -> None:
    mean, log_variance = inputs(4, 9, dtype)
    z, kl = gaussian_latent(mean, log_variance, SEED)
    assert z.dtype == dtype
    assert kl.dtype == torch.float32
    assert torch.equal(kl, gaussian_kl(mean.float(), log_variance.float()))


def test_gradients_are_the_closed_forms() -> None:
    mean, log_variance = (t.requires_grad_() for t in inputs(5, 7))
    z, kl = gaussian_latent(mean, log_variance, SEED)
    weight_z, weight_kl = normal(SEED, (5, 7), 7), normal(SEED, (5, 7), 8)
    total = (z * weight_z).sum() + (kl * weight_kl).sum()
    got = torch.autograd.grad(total, (mean, log_variance))
    with torch.no_grad():
        noise = normal(SEED, (5, 7))
        d_mean = weight_z + weight_kl * mean
        d_log_variance = 0.5 * (
            weight_z * (0.5 * log_variance).exp() * noise + weight_kl * (log_variance.exp() - 1)
        )
    torch.testing.assert_close(got, (d_mean, d_log_variance))


def test_inputs_are_left_alone() -> None:
    mean, log_variance = inputs(3, 5)
    before = mean.clone(), log_variance.clone(), SEED.clone()
    gaussian_latent(mean, log_variance, SEED, samples=2)
    assert torch.equal(before[0], mean)
    assert torch.equal(before[1], log_variance)
    assert torch.equal(before[2], SEED)


def test_wrong_shapes_and_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        gaussian_latent(torch.zeros(2, 3), torch.zeros(2, 4), SEED)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        gaussian_latent(torch.zeros(2, 3), torch.zeros(2, 3), SEED, samples=0)
