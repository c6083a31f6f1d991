"""The C++ twin's switches against float64: reductions, masks, clamps, samples, packed gradients, accuracy."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from seqvae.kernels import native
from seqvae.kernels.native.gaussian import Reduce
from seqvae.ops import normal

pytestmark = pytest.mark.skipif(not native.available(), reason="the native library was not built")

Array = npt.NDArray[np.float32]
STREAM = torch.tensor([9])
SEED, OFFSET, SCALE = 77, 3, 0.7
REDUCTIONS: tuple[Reduce, ...] = ("none", "rows", "dimensions", "both")
# A tile has 512 elements: several rows in one, a part of a row in one, and both with remainders.
SIZES = [(1, 1), (3, 1), (1, 3), (63, 3), (257, 5), (5, 257), (3, 1030), (40, 64)]


def draw(*shape: int, offset: int) -> Array:
    return np.asarray(normal(STREAM, shape, offset).numpy())


def pattern(rows: int) -> npt.NDArray[np.bool_]:
    return np.asarray(np.arange(rows) % 3 != 1)


def reference(
    mean: Tensor,
    log_variance: Tensor,
    samples: int = 1,
    mask: npt.NDArray[np.bool_] | None = None,
    clamp: tuple[float, float] | None = None,
) -> dict[str, Tensor]:
    """What the library computes, by torch, in the dtype of its arguments."""
    counts = torch.ones(len(mean), 1) if mask is None else torch.from_numpy(mask)[:, None]
    counts = counts.to(mean.dtype)
    if clamp is not None:
        log_variance = log_variance.clamp(*clamp)
    noise = normal(torch.tensor([SEED]), (samples, *mean.shape), OFFSET).to(mean.dtype)
    kl = counts * 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance)
    return {
        "z": counts * (mean + SCALE * (0.5 * log_variance).exp() * noise),
        "kl": kl,
        "rows": kl.sum(1),
        "dimensions": kl.sum(0) / counts.sum().clamp_min(1),
    }


def chosen(parts: dict[str, Any], reduce: Reduce) -> Any:  # noqa: ANN401
    """The KL's part of a reference, or of its gradients, as the library shapes it."""
    if reduce == "both":
        return parts["rows"], parts["dimensions"]
    return parts["kl" if reduce == "none" else reduce]


def assert_near(found: Any, expected: Any, scale: float = 1.0) -> None:  # noqa: ANN401
    if isinstance(found, tuple):
        for one, true in zip(found, expected, strict=True):
            assert_near(one, true, scale)
        return
    np.testing.assert_allclose(
        found, expected.detach().numpy(), atol=1e-6 * scale, rtol=2e-6, equal_nan=False
    )


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize(("rows", "dim"), SIZES)
def test_every_reduction_equals_float64(rows: int, dim: int, reduce: Reduce) -> None:
    mean, log_variance = draw(rows, dim, offset=1), draw(rows, dim, offset=2)
    for masked, clamp in itertools.product((False, True), (None, (-0.5, 0.75))):
        mask = pattern(rows) if masked else None
        options: dict[str, Any] = {"mask": mask, "clamp": clamp}
        exact = [torch.from_numpy(a).double().requires_grad_() for a in (mean, log_variance)]
        expected = reference(exact[0], exact[1], samples=2, **options)
        options |= {"reduce": reduce, "offset": OFFSET, "noise_scale": SCALE}
        z, kl = native.gaussian_latent(mean, log_variance, SEED, samples=2, **options)
        assert_near(z, expected["z"])
        assert_near(kl, chosen(expected, reduce))

        weights = {name: draw(*expected[name].shape, offset=5) for name in expected}
        dkl = chosen(weights, reduce)
        outputs = chosen(expected, reduce)
        pairs = [(expected["z"], weights["z"])]
        pairs += zip(outputs, dkl, strict=True) if reduce == "both" else [(outputs, dkl)]
        total = sum((output * torch.from_numpy(weight)).sum() for output, weight in pairs)
        gradients = torch.autograd.grad(total, exact)  # type: ignore[arg-type]
        found = native.gaussian_latent_backward(
            mean, log_variance, SEED, weights["z"], dkl, **options
        )
        assert_near(found, gradients, scale=4)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_rows_that_do_not_count_may_be_anything(reduce: Reduce) -> None:
    mask = pattern(11)
    clean = draw(11, 7, offset=1), draw(11, 7, offset=2)
    dirty = tuple(np.where(mask[:, None], a, np.float32(np.nan)) for a in clean)
    dz = draw(2, 11, 7, offset=3)
    dirty_dz = np.where(mask[:, None], dz, np.float32(np.nan))
    shapes = {"kl": (11, 7), "rows": (11,), "dimensions": (7,)}
    dkl = chosen({name: draw(*shape, offset=4) for name, shape in shapes.items()}, reduce)
    results = []
    for (mean, log_variance), upstream in ((clean, dz), (dirty, dirty_dz)):
        z, kl = native.gaussian_latent(
            mean, log_variance, SEED, samples=2, reduce=reduce, mask=mask
        )
        d_mean, d_log_variance = native.gaussian_latent_backward(
            mean, log_variance, SEED, upstream, dkl, reduce=reduce, mask=mask
        )
        assert not z[:, ~mask].any() and not d_mean[~mask].any() and not d_log_variance[~mask].any()
        results.append([z, d_mean, d_log_variance, *(kl if isinstance(kl, tuple) else (kl,))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [0, 5])
def test_no_row_that_counts_gives_zeros(rows: int) -> None:
    nothing = np.full((rows, 3), np.nan, dtype=np.float32)
    mask = np.zeros(rows, dtype=np.bool_)
    _, kl = native.gaussian_latent(nothing, nothing, SEED, reduce="both", mask=mask)
    np.testing.assert_array_equal(kl[0], np.zeros(rows))
    np.testing.assert_array_equal(kl[1], np.zeros(3))
    np.testing.assert_array_equal(native.kl_rows(nothing, nothing, 2.0, mask=mask), np.zeros(rows))
    found = native.gaussian_latent_backward(
        nothing,
        nothing,
        SEED,
        None,
        (None, np.ones(3, dtype=np.float32)),
        reduce="both",
        mask=mask,
    )
    assert not np.any(found)


def test_the_clamp_passes_gradients_at_its_borders_only() -> None:
    low, high = np.float32(-0.5), np.float32(0.75)
    edges = [np.nextafter(low, -9), low, np.nextafter(low, 9), high, np.nextafter(high, 9), np.nan]
    log_variance = np.array([edges], dtype=np.float32)
    zeros, ones = np.zeros_like(log_variance), np.ones_like(log_variance)
    clamp = (float(low), float(high))
    _, gradient = native.gaussian_latent_backward(
        zeros, log_variance, SEED, None, ones, clamp=clamp
    )
    np.testing.assert_array_equal(gradient != 0, [[False, True, True, True, False, False]])
    z, kl = native.gaussian_latent(zeros, log_variance, SEED, clamp=clamp)
    inside, exact = native.gaussian_latent(zeros, np.clip(log_variance, low, high), SEED)
    np.testing.assert_array_equal(z, inside)
    np.testing.assert_array_equal(kl, exact)
    _, gradient = native.gaussian_latent_backward(zeros, log_variance, SEED, None, ones)
    assert np.isnan(gradient[0, -1])


@pytest.mark.parametrize("dim", [3, 64, 600])
def test_packed_statistics_and_gradients_stay_packed(dim: int) -> None:
    packed = draw(21, 2 * dim, offset=1)
    mean, log_variance = packed[:, :dim], packed[:, dim:]
    dz, dkl = draw(1, 21, dim, offset=2), draw(21, dim, offset=3)
    expected = native.gaussian_latent_backward(mean.copy(), log_variance.copy(), SEED, dz, dkl)
    # Two columns more than are written.
    out = np.full((21, 2 * dim + 2), np.nan, dtype=np.float32)
    native.gaussian_latent_backward(
        mean, log_variance, SEED, dz, dkl, out=(out[:, 1 : dim + 1], out[:, dim + 1 : -1])
    )
    np.testing.assert_array_equal(out[:, 1:-1], np.concatenate(expected, axis=1))
    assert np.isnan(out[:, [0, -1]]).all()


def test_gradients_that_are_absent_are_zeros() -> None:
    mean, log_variance = draw(6, 9, offset=1), draw(6, 9, offset=2)
    dz, rows, dimensions = draw(2, 6, 9, offset=3), draw(6, offset=4), draw(9, offset=5)
    for has_z, has_rows, has_dimensions in itertools.product((False, True), repeat=3):
        full = native.gaussian_latent_backward(
            mean,
            log_variance,
            SEED,
            dz * has_z,
            (rows * np.float32(has_rows), dimensions * np.float32(has_dimensions)),
            reduce="both",
        )
        sparse = native.gaussian_latent_backward(
            mean,
            log_variance,
            SEED,
            dz if has_z else None,
            (rows if has_rows else None, dimensions if has_dimensions else None),
            samples=2,
            reduce="both",
        )
        for one, other in zip(full, sparse, strict=True):
            np.testing.assert_array_equal(one, other)
    for zero in native.gaussian_latent_backward(mean, log_variance, SEED, None, None):
        assert not zero.any()


@pytest.mark.parametrize(("rows", "dim"), SIZES)
def test_the_parts_equal_the_whole(rows: int, dim: int) -> None:
    mean, log_variance = draw(rows, dim, offset=1), draw(rows, dim, offset=2)
    options: dict[str, Any] = {"mask": pattern(rows), "clamp": (-1.0, 1.0)}
    z, kl = native.gaussian_latent(mean, log_variance, SEED, samples=3, reduce="rows", **options)
    assert isinstance(kl, np.ndarray)
    alone = native.sample_latent(mean, log_variance, SEED, samples=3, **options)
    np.testing.assert_array_equal(alone, z)
    np.testing.assert_array_equal(native.kl_rows(mean, log_variance, -np.inf, **options), kl)
    nats = float(np.median(kl))
    bounded = np.where(options["mask"], np.maximum(kl, np.float32(nats)), 0)
    np.testing.assert_array_equal(native.kl_rows(mean, log_variance, nats, **options), bounded)


def test_kl_and_its_gradient_are_exact_to_a_few_units_in_the_last_place() -> None:
    dense = np.concatenate([np.linspace(-100, 88.6, 20001), np.linspace(-2, 2, 20001)])
    dense = np.concatenate([dense, [1e-3, -1e-3, 1e-6, -1e-20, 0.0, 0.0]]).astype(np.float32)
    x = dense.reshape(-1, 8)
    exact = x.astype(np.float64)
    series = exact**2 / 2 + exact**3 / 6 + exact**4 / 24 + exact**5 / 120
    excess = np.where(np.abs(exact) < 1e-3, series, np.expm1(exact) - exact)
    zeros, ones = np.zeros_like(x), np.ones_like(x)
    _, kl = native.gaussian_latent(zeros, x, SEED)
    _, gradient = native.gaussian_latent_backward(zeros, x, SEED, None, ones)
    for found, true, units in ((kl, excess / 2, 8), (gradient, np.expm1(exact) / 2, 2)):
        error = np.abs(found - true) / np.spacing(np.abs(true).astype(np.float32))
        assert error.max() <= units


def test_log_variances_that_are_not_finite() -> None:
    x = np.array([[np.nan, np.inf, -np.inf, 200.0, -1e30]], dtype=np.float32)
    zeros, ones = np.zeros_like(x), np.ones_like(x)
    noise = native.sample_latent(zeros, zeros, SEED)
    z, kl = native.gaussian_latent(zeros, x, SEED)
    infinite = np.float32(np.inf) * np.sign(noise[0, 0])
    np.testing.assert_array_equal(z[0, 0], [np.nan, infinite[1], 0, infinite[3], 0])
    np.testing.assert_array_equal(kl[0], np.array([np.nan, *[np.inf] * 3, 5e29], np.float32))
    _, gradient = native.gaussian_latent_backward(zeros, x, SEED, None, ones)
    np.testing.assert_array_equal(gradient[0], [np.nan, np.inf, -0.5, np.inf, -0.5])
