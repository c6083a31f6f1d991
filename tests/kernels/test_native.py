"""The C++ twin against the torch reference: values, gradients, odd sizes, poison, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seqvae.errors import UserError
from seqvae.kernels import native
from seqvae.kernels.native import request
from seqvae.kernels.native.loader import SUFFIX
from seqvae.ops import gaussian_latent, normal

built = pytest.mark.skipif(not native.available(), reason="the native library was not built")

SIZES = [(1, 1), (3, 1), (1, 3), (3, 63), (63, 3), (5, 257), (257, 5), (0, 4), (4, 0)]
STREAM = torch.tensor([9])


def draw(*shape: int, offset: int) -> npt.NDArray[np.float32]:
    return np.asarray(normal(STREAM, shape, offset).numpy())


@built
@pytest.mark.parametrize("offset", [0, 5, (1 << 33) + 1])
@pytest.mark.parametrize("seed", [0, 12345, -(2**63), 2**63 - 1])
def test_noise_is_that_of_the_reference(seed: int, offset: int) -> None:
    zeros = np.zeros((7, 37), dtype=np.float32)
    z, _ = native.gaussian_latent(zeros, zeros, seed, offset=offset)
    expected = normal(torch.tensor([seed]), (1, 7, 37), offset)
    np.testing.assert_allclose(z, expected.numpy(), atol=1e-6, rtol=0)


@built
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("rows", "dim"), SIZES)
def test_values_equal_the_reference(rows: int, dim: int, samples: int) -> None:
    mean, log_variance = draw(rows, dim, offset=1), draw(rows, dim, offset=2)
    poison = (
        np.full((samples, rows, dim), np.nan, dtype=np.float32),
        np.full((rows, dim), np.nan, dtype=np.float32),
    )
    before = mean.copy(), log_variance.copy()
    z, kl = native.gaussian_latent(
        mean, log_variance, 77, offset=3, samples=samples, noise_scale=0.7, out=poison
    )
    expected_z, expected_kl = gaussian_latent(
        torch.from_numpy(mean),
        torch.from_numpy(log_variance),
        torch.tensor([77]),
        offset=3,
        samples=samples,
        noise_scale=0.7,
    )
    np.testing.assert_allclose(z, expected_z.numpy(), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(kl, expected_kl.numpy(), atol=1e-6, rtol=1e-6)
    np.testing.assert_array_equal(mean, before[0])
    np.testing.assert_array_equal(log_variance, before[1])


@built
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("rows", "dim"), SIZES)
def test_gradients_equal_autograd(rows: int, dim: int, samples: int) -> None:
    mean, log_variance = draw(rows, dim, offset=1), draw(rows, dim, offset=2)
    dz, dkl = draw(samples, rows, dim, offset=4), draw(rows, dim, offset=5)
    inputs = [torch.from_numpy(a.copy()).requires_grad_() for a in (mean, log_variance)]
    z, kl = gaussian_latent(
        inputs[0], inputs[1], torch.tensor([77]), offset=3, samples=samples, noise_scale=0.7
    )
    expected = torch.autograd.grad((z, kl), inputs, (torch.from_numpy(dz), torch.from_numpy(dkl)))
    before = [a.copy() for a in (mean, log_variance, dz, dkl)]
    poison = tuple(np.full((rows, dim), np.nan, dtype=np.float32) for _ in range(2))
    got = native.gaussian_latent_backward(
        mean, log_variance, 77, dz, dkl, offset=3, noise_scale=0.7, out=(poison[0], poison[1])
    )
    for value, reference in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, reference.numpy(), atol=2e-6, rtol=2e-6)
    for value, kept in zip((mean, log_variance, dz, dkl), before, strict=True):
        np.testing.assert_array_equal(value, kept)


@built
def test_strided_rows_are_read_in_place() -> None:
    both = draw(5, 2 * 7, offset=1)
    mean, log_variance = both[:, :7], both[::-1, 7:]
    z, kl = native.gaussian_latent(mean, log_variance, 3)
    packed_z, packed_kl = native.gaussian_latent(mean.copy(), log_variance.copy(), 3)
    np.testing.assert_array_equal(z, packed_z)
    np.testing.assert_array_equal(kl, packed_kl)


@built
def test_nothing_outside_the_outputs_is_written() -> None:
    mean, log_variance = draw(3, 5, offset=1), draw(3, 5, offset=2)
    arena = np.full(100, 42.0, dtype=np.float32)
    z, kl = arena[10:25].reshape(1, 3, 5), arena[50:65].reshape(3, 5)
    native.gaussian_latent(mean, log_variance, 3, out=(z, kl))
    outside = np.concatenate([arena[:10], arena[25:50], arena[65:]])
    np.testing.assert_array_equal(outside, 42.0)


@built
def test_a_request_that_makes_no_sense_is_refused_by_the_library() -> None:
    address = np.zeros(4, dtype=np.float32).ctypes.data
    sizes: dict[str, Any] = {"rows": 1, "dim": 4, "mean_stride": 4, "log_variance_stride": 4}
    for wrong in ({"rows": -1}, {"samples": 0}, {"rounds": 9}, {"rows": 2**40, "dim": 2**40}):
        with pytest.raises(ValueError, match="refused"):
            request.forward(address, address, **{**sizes, **wrong})
    with pytest.raises(ValueError, match="refused"):
        request.forward(0, address, **sizes)
    with pytest.raises(ValueError, match="refused"):
        request.backward(address, address, 0, 0, d_mean_stride=4, d_log_variance_stride=4, **sizes)
    stale = native.library().seqvae_gaussian_forward(bytes(request._LAYOUT.size))
    assert stale == request._OTHER_VERSION


@built
def test_version_is_the_projects() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{native.version()}"' in text


@pytest.mark.parametrize(
    ("mean", "log_variance", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3), np.float32), TypeError, "mean must be a float32"),
        (np.zeros(3, np.float32), np.zeros(3, np.float32), ValueError, r"mean must be \[N, D\]"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32), ValueError, "differ"),
        (np.zeros((3, 2), np.float32).T, np.zeros((2, 3), np.float32), ValueError, "contiguous"),
    ],
)
def test_wrong_inputs_are_refused(
    mean: npt.NDArray[np.float32],
    log_variance: npt.NDArray[np.float32],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        native.gaussian_latent(mean, log_variance, 0)


def test_wrong_outputs_and_counts_are_refused() -> None:
    zeros = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        native.gaussian_latent(zeros, zeros, 0, samples=0)
    with pytest.raises(ValueError, match="z must be contiguous"):
        native.gaussian_latent(zeros, zeros, 0, out=(zeros.copy(), zeros.copy()))
    with pytest.raises(TypeError, match="dkl must be a float32"):
        native.gaussian_latent_backward(
            zeros, zeros, 0, np.zeros((1, 2, 3), np.float32), np.zeros((2, 3), np.int32)
        )
    with pytest.raises(TypeError, match="mask must be a bool"):
        native.sample_latent(zeros, zeros, 0, mask=np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="mask must be contiguous"):
        native.kl_rows(zeros, zeros, mask=np.zeros(3, np.bool_))
    with pytest.raises(ValueError, match="low <= high"):
        native.kl_rows(zeros, zeros, clamp=(1.0, -1.0))
    with pytest.raises(ValueError, match="rounds must be 10 or 7"):
        native.sample_latent(zeros, zeros, 0, rounds=8)
    with pytest.raises(ValueError, match="reduce must be one of"):
        native.gaussian_latent(zeros, zeros, 0, reduce="cols")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the KL is a pair"):
        native.gaussian_latent_backward(zeros, zeros, 0, None, zeros, reduce="both")
    with pytest.raises(ValueError, match="d_mean must be"):
        native.gaussian_latent_backward(zeros, zeros, 0, None, None, out=(zeros[:1], zeros))
    frozen = np.zeros((1, 2, 3), dtype=np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="z must be writeable"):
        native.gaussian_latent(zeros, zeros, 0, out=(frozen, zeros.copy()))


def test_a_missing_library_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native, "__path__", [str(tmp_path)])
    native.library.cache_clear()
    assert not native.available()
    with pytest.raises(UserError, match="make setup"):
        native.library()
    (tmp_path / f"_native{SUFFIX}").write_bytes(b"not a library")
    with pytest.raises(UserError, match="cannot be opened"):
        native.library()
    native.library.cache_clear()
