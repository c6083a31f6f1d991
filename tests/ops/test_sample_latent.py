"""Samples and row KLs without gradients: what the differentiable call gives, cheaper."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.kernels import native
from seqvae.ops import FreeBits, explain, gaussian_latent, kl_rows, normal, sample_latent, use

SEED = torch.tensor([11])
PATHS = [
    "reference",
    pytest.param(
        "native",
        marks=pytest.mark.skipif(not native.available(), reason="the library is not built"),
    ),
]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test by each path that this machine has."""
    with use(request.param):
        yield request.param


def packed(*shape: int) -> Tensor:
    return normal(SEED, shape, offset=100)


@pytest.mark.parametrize("samples", [None, 1, 3])
@pytest.mark.parametrize(("shape"), [(1, 2), (3, 14), (2, 5, 8), (0, 6), (63, 2), (6,)])
def test_z_is_that_of_gaussian_latent(
    path: str, shape: tuple[int, ...], samples: int | None
) -> None:
    keywords: dict[str, Any] = {"offset": 1 << 33, "samples": samples, "noise_scale": 0.3}
    statistics = packed(*shape)
    expected, kl = gaussian_latent(statistics, None, SEED, reduce="rows", **keywords)
    first, second = statistics.chunk(2, -1)
    before = statistics.clone()
    for mean, log_variance in (
        (statistics, None),
        (first, second),
        (first.contiguous(), second.contiguous()),
    ):
        assert torch.equal(sample_latent(mean, log_variance, SEED, **keywords), expected)
        torch.testing.assert_close(kl_rows(mean, log_variance), kl, atol=1e-6, rtol=1e-6)
    assert torch.equal(statistics, before)
    if statistics.numel():
        found = {choice.op: choice.path for choice in explain()}
        assert found["sample_latent"] == found["kl_rows"] == path


def test_free_bits_clamp_the_kl_of_a_row(path: str) -> None:
    statistics = packed(7, 8)
    _, expected = gaussian_latent(statistics, None, SEED, reduce="rows", free_bits=FreeBits(3.0))
    torch.testing.assert_close(kl_rows(statistics, None, 3.0), expected, atol=1e-6, rtol=1e-6)
    assert 0 < int((expected == 3.0).sum()) < 7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_served(dtype: torch.dtype) -> None:
    statistics = packed(4, 10).to(dtype)
    z, kl = gaussian_latent(statistics, None, SEED, reduce="rows")
    assert torch.equal(sample_latent(statistics, None, SEED), z)
    assert torch.equal(kl_rows(statistics, None), kl)
    assert kl_rows(statistics, None).dtype == torch.float32


def test_there_is_no_gradient() -> None:
    statistics = packed(2, 4).requires_grad_()
    calls: list[Callable[[Tensor], Tensor]] = [
        lambda x: sample_latent(x, None, SEED),
        lambda x: kl_rows(x, None),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="no gradient"):
            call(statistics)
        with torch.no_grad():
            assert not call(statistics).requires_grad


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, 4)), ValueError, "differ"),
        ((torch.zeros(2, 3), None), ValueError, "packed"),
        ((torch.zeros(2, 4).int(), None), TypeError, "float"),
    ],
)
def test_bad_statistics_are_refused(
    given: tuple[Tensor, Tensor | None], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample_latent(*given, SEED)
    with pytest.raises(error, match=message):
        kl_rows(*given)


def test_bad_numbers_are_refused() -> None:
    statistics = torch.zeros(2, 4)
    with pytest.raises(ValueError, match="at least 1"):
        sample_latent(statistics, None, SEED, samples=0)
    with pytest.raises(ValueError, match="seed"):
        sample_latent(statistics, None, torch.tensor([1.0]))
    with pytest.raises(ValueError, match="offset"):
        sample_latent(statistics, None, SEED, offset=torch.tensor([1, 2]))


def test_compiled_and_exported() -> None:
    def call(statistics: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        return sample_latent(statistics, None, seed, samples=2), kl_rows(statistics, None, 0.1)

    class Module(torch.nn.Module):
        def forward(self, statistics: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
            return call(statistics, seed)

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    example = (packed(4, 6), SEED)
    program = torch.export.export(
        Module(), example, dynamic_shapes=({0: torch.export.Dim("rows")}, None)
    )
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets == ["seqvae.sample_latent.default", "seqvae.kl_rows.default"]
    for rows in (3, 5):
        statistics = packed(rows, 6)
        expected = call(statistics, SEED)
        for found in (compiled(statistics, SEED), program.module()(statistics, SEED)):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
