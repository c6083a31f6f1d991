"""The Gaussian latent: closed forms, gradients, dtypes, samples, reductions, free bits, masks, clamps."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from seqvae.kernels import native
from seqvae.ops import FreeBits, gaussian_kl, gaussian_latent, normal, use
from seqvae.ops import gaussian_reference as reference
from tests.gaussian_cases import Case, every_switch, odd_sizes, run, settings, truth

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


def inputs(rows: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
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


def test_kl_is_exact_and_not_negative_near_the_prior(path: str) -> None:
    log_variance = torch.tensor([0.0, 1e-4, -1e-4, 1e-3])
    for kl in (
        gaussian_kl(torch.zeros(4), log_variance),
        gaussian_latent(torch.zeros(4), log_variance, SEED)[1],
    ):
        # KL = v^2 / 4 + O(v^3) for mean 0.
        torch.testing.assert_close(kl, log_variance.square() / 4, atol=5e-8, rtol=1e-2)
        assert float(kl.min()) >= 0.0


@pytest.mark.parametrize("samples", [None, 1, 3])
def test_z_is_mean_plus_deviation_times_noise(path: str, samples: int | None) -> None:
    mean, log_variance = inputs(5, 7)
    z, kl = gaussian_latent(mean, log_variance, SEED, offset=2, samples=samples, noise_scale=0.5)
    shape = mean.shape if samples is None else (samples, *mean.shape)
    expected = mean + 0.5 * (0.5 * log_variance).exp() * normal(SEED, shape, 2)
    torch.testing.assert_close(z, expected)
    assert z.shape == torch.Size(shape)
    expected_kl = gaussian_kl(mean, log_variance)
    if path == "reference":
        assert torch.equal(kl, expected_kl)
    torch.testing.assert_close(kl, expected_kl, atol=1e-6, rtol=1e-6)


def test_no_noise_gives_the_mean(path: str) -> None:
    mean, log_variance = inputs(5, 7)
    z, _ = gaussian_latent(mean, log_variance, SEED, noise_scale=0.0)
    assert torch.equal(z, mean)


def test_the_first_sample_is_the_single_sample(path: str) -> None:
    mean, log_variance = inputs(3, 5)
    one, _ = gaussian_latent(mean, log_variance, SEED)
    many, _ = gaussian_latent(mean, log_variance, SEED, samples=4)
    assert torch.equal(many[0], one)
    assert not torch.equal(many[1], one)


def test_frames_are_rows(path: str) -> None:
    mean, log_variance = inputs(6, 5)
    z, kl = gaussian_latent(mean, log_variance, SEED)
    framed_z, framed_kl = gaussian_latent(
        mean.reshape(2, 3, 5), log_variance.reshape(2, 3, 5), SEED
    )
    assert torch.equal(framed_z.reshape(6, 5), z)
    assert torch.equal(framed_kl.reshape(6, 5), kl)


def test_one_vector_is_one_row(path: str) -> None:
    mean, log_variance = inputs(1, 5)
    z, (rows, dimensions) = gaussian_latent(mean[0], log_variance[0], SEED, reduce="both")
    assert z.shape == dimensions.shape == (5,)
    assert rows.shape == ()
    torch.testing.assert_close(rows, dimensions.sum())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_z_keeps_the_dtype_and_kl_is_float32(dtype: torch.dtype) -> None:
    mean, log_variance = inputs(4, 9, dtype)
    z, kl = gaussian_latent(mean, log_variance, SEED)
    assert z.dtype == dtype
    assert kl.dtype == torch.float32
    assert torch.equal(kl, gaussian_kl(mean.float(), log_variance.float()))


def test_two_dtypes_are_taken_as_they_are() -> None:
    mean, log_variance = inputs(4, 8)
    mean = mean.half()
    z, kl = gaussian_latent(mean, log_variance, SEED)
    assert z.dtype == torch.float16
    assert torch.equal(kl, gaussian_kl(mean, log_variance))


def test_gradients_are_the_closed_forms(path: str) -> None:
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


@pytest.mark.parametrize("case", [*odd_sizes(), *every_switch()], ids=str)
def test_values_and_gradients_equal_float64(path: str, case: Case) -> None:
    for found, expected in zip(run(case), truth(case), strict=True):
        torch.testing.assert_close(found.double(), expected, atol=3e-6, rtol=3e-6)


@pytest.mark.parametrize("case", [case for case in every_switch() if case.free_bits], ids=str)
def test_cases_clamp_some_kl_and_not_all(case: Case) -> None:
    assert case.free_bits is not None
    kl = truth(case)[1 if case.free_bits.over == "row" or case.reduce != "both" else 2]
    kl = kl[kl != 0]
    assert 0 < int((kl == case.free_bits.nats).sum()) < kl.numel()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    for case in every_switch(dtype):
        for found, expected in zip(run(case), truth(case), strict=True):
            # Rounded once, from float32: half a unit in the last place.
            torch.testing.assert_close(found, expected.to(found.dtype), atol=2e-6, rtol=1e-2)


@pytest.mark.parametrize("reduce", ["none", "rows", "dimensions", "both"])
@pytest.mark.parametrize("only", ["z", "kl"])
def test_an_unused_output_needs_no_gradient(path: str, reduce: Any, only: str) -> None:  # noqa: ANN401
    mean, log_variance = (t.requires_grad_() for t in inputs(4, 6))
    z, kl = gaussian_latent(mean, log_variance, SEED, reduce=reduce)
    parts = kl if isinstance(kl, tuple) else (kl,)
    used = z.sum() if only == "z" else parts[-1].sum()
    d_mean, _ = torch.autograd.grad(used, (mean, log_variance))
    share = 0.25 if reduce in ("dimensions", "both") else 1.0
    expected = torch.ones_like(mean) if only == "z" else mean * share
    torch.testing.assert_close(d_mean, expected)


def test_reductions_are_sums_and_means(path: str) -> None:
    mean, log_variance = inputs(6, 5)
    each = gaussian_kl(mean, log_variance)
    _, rows = gaussian_latent(mean, log_variance, SEED, reduce="rows")
    _, dimensions = gaussian_latent(mean, log_variance, SEED, reduce="dimensions")
    _, both = gaussian_latent(
        mean.reshape(2, 3, 5), log_variance.reshape(2, 3, 5), SEED, reduce="both"
    )
    torch.testing.assert_close(rows, each.sum(-1))
    torch.testing.assert_close(dimensions, each.mean(0))
    torch.testing.assert_close(both, (rows.reshape(2, 3), dimensions))


@pytest.mark.parametrize(
    ("free_bits", "reduce", "clamped"),
    [
        (FreeBits(4.5), "rows", lambda kl: kl.sum(-1).clamp_min(4.5)),
        (FreeBits(0.6, "dimension"), "dimensions", lambda kl: kl.mean(0).clamp_min(0.6)),
        (
            FreeBits(1.3, "group", groups=3),
            "dimensions",
            lambda kl: kl.reshape(-1, 3, 2).sum(-1).mean(0).clamp_min(1.3),
        ),
    ],
)
def test_free_bits_are_a_clamp(path: str, free_bits: FreeBits, reduce: Any, clamped: Any) -> None:  # noqa: ANN401
    mean, log_variance = (t.requires_grad_() for t in inputs(8, 6))
    _, kl = gaussian_latent(mean, log_variance, SEED, reduce=reduce, free_bits=free_bits)
    expected = clamped(gaussian_kl(mean, log_variance))
    assert 0 < int((expected == free_bits.nats).sum()) < expected.numel(), "clamps all or nothing"
    torch.testing.assert_close(kl, expected)
    weight = torch.arange(1.0, kl.numel() + 1)
    got = torch.autograd.grad((kl * weight).sum(), (mean, log_variance))
    wanted = torch.autograd.grad((expected * weight).sum(), (mean, log_variance))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("over", ["row", "dimension", "group"])
def test_at_the_clamp_the_gradient_passes(path: str, over: Any) -> None:  # noqa: ANN401
    # KL of a dimension: 1 / 2. Of a row of four: 2. Halves add without rounding.
    mean, log_variance = torch.ones(2, 4, requires_grad=True), torch.zeros(2, 4)
    nats = {"row": 2.0, "dimension": 0.5, "group": 1.0}[over]
    reduce = "rows" if over == "row" else "dimensions"
    for more, gradient in ((0.0, 1.0), (1e-6, 0.0)):
        free_bits = FreeBits(nats + more, over, groups=2)
        _, kl = gaussian_latent(mean, log_variance, SEED, reduce=reduce, free_bits=free_bits)  # type: ignore[call-overload]
        (got,) = torch.autograd.grad(kl.sum(), mean)
        share = 1.0 if over == "row" else 0.5
        assert torch.equal(got, torch.full_like(mean, gradient * share))


def test_no_row_counts(path: str) -> None:
    mean, log_variance = (t.requires_grad_() for t in inputs(3, 4))
    nothing = torch.zeros(3, dtype=torch.bool)
    z, (rows, dimensions) = gaussian_latent(mean, log_variance, SEED, reduce="both", mask=nothing)
    assert not z.any()
    assert not rows.any()
    assert not dimensions.any()
    total = z.sum() + rows.sum() + dimensions.sum()
    assert not any(g.any() for g in torch.autograd.grad(total, (mean, log_variance)))


@pytest.mark.parametrize("reduce", ["none", "rows", "dimensions", "both"])
@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4), (3, 0)])
def test_an_empty_batch_has_an_empty_latent(shape: tuple[int, ...], reduce: Any) -> None:  # noqa: ANN401
    mean, log_variance = torch.zeros(shape, requires_grad=True), torch.zeros(shape)
    z, kl = gaussian_latent(mean, log_variance, SEED, reduce=reduce, samples=2)
    assert z.shape == (2, *shape)
    parts = kl if isinstance(kl, tuple) else (kl,)
    shapes = {"none": [shape], "rows": [shape[:-1]], "dimensions": [shape[-1:]]}
    shapes["both"] = shapes["rows"] + shapes["dimensions"]
    assert [part.shape for part in parts] == shapes[reduce]
    assert not any(part.any() for part in parts)
    (gradient,) = torch.autograd.grad(z.sum() + sum(part.sum() for part in parts), mean)
    assert gradient.shape == shape


def test_a_nan_stays_in_its_row(path: str) -> None:
    mean, log_variance = inputs(3, 4)
    log_variance[1, 2] = float("nan")
    z, rows = gaussian_latent(
        mean, log_variance, SEED, reduce="rows", clamp=(-1.0, 1.0), free_bits=FreeBits(0.1)
    )
    assert torch.isfinite(z[::2]).all()
    assert torch.isnan(z[1, 2])
    assert torch.equal(torch.isnan(rows), torch.tensor([False, True, False]))


def test_seven_rounds_are_another_stream(path: str) -> None:
    mean, log_variance = inputs(4, 8)
    ten, _ = gaussian_latent(mean, log_variance, SEED)
    seven, _ = gaussian_latent(mean, log_variance, SEED, rounds=7)
    assert not torch.equal(ten, seven)
    noise = normal(SEED, (4, 8), rounds=7)
    torch.testing.assert_close(seven, mean + (0.5 * log_variance).exp() * noise)


def test_an_offset_may_be_a_tensor(path: str) -> None:
    mean, log_variance = inputs(4, 8)
    for offset in (3, -1, 1 << 62):
        number, _ = gaussian_latent(mean, log_variance, SEED, offset=offset)
        tensor, _ = gaussian_latent(mean, log_variance, SEED, offset=torch.tensor([offset]))
        assert torch.equal(number, tensor)


@pytest.mark.parametrize("case", every_switch(torch.float64), ids=str)
def test_gradients_of_the_reference_are_checked_numerically(case: Case) -> None:
    # A masked row's NaN would make its numerical gradient NaN.
    small = replace(case, rows=2, dim=6, masked=False)
    leaves = small.statistics()
    how = settings(small)

    def call(*leaves: Tensor) -> tuple[Tensor, ...]:
        found = reference.forward(
            *small.arguments(list(leaves)), SEED, None, None, how, torch.float64
        )
        return tuple(x for x in found[:3] if x is not None)

    assert torch.autograd.gradcheck(call, leaves)


def test_float64_passes_gradcheck_twice() -> None:
    mean, log_variance = (t.double().requires_grad_() for t in inputs(2, 3))
    assert torch.autograd.gradcheck(
        lambda a, b: gaussian_latent(a, b, SEED)[0], (mean, log_variance)
    )
    assert torch.autograd.gradgradcheck(
        lambda a, b: gaussian_latent(a, b, SEED)[0], (mean, log_variance)
    )


def test_wrong_shapes_and_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        gaussian_latent(torch.zeros(2, 3), torch.zeros(2, 4), SEED)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        gaussian_latent(torch.zeros(2, 3), torch.zeros(2, 3), SEED, samples=0)


@pytest.mark.parametrize(
    ("statistics", "keywords", "error", "message"),
    [
        ((torch.zeros(2, 3), None), {}, ValueError, "packed"),
        ((torch.zeros(()), torch.zeros(())), {}, ValueError, "axis of dimensions"),
        ((torch.zeros(2, 4, dtype=torch.int64), None), {}, TypeError, "float"),
        ((torch.zeros(2, 4), None), {"reduce": "sum"}, ValueError, "reduce"),
        ((torch.zeros(2, 4), None), {"rounds": 8}, ValueError, "rounds"),
        ((torch.zeros(2, 4), None), {"clamp": (1.0, 0.0)}, ValueError, "low <= high"),
        ((torch.zeros(2, 4), None), {"clamp": (0.0, float("nan"))}, ValueError, "low <= high"),
        ((torch.zeros(2, 4), None), {"free_bits": FreeBits(1.0)}, ValueError, "reduce='rows'"),
        (
            (torch.zeros(2, 4), None),
            {"free_bits": FreeBits(1.0, "dimension"), "reduce": "rows"},
            ValueError,
            "reduce='dimensions'",
        ),
        (
            (torch.zeros(2, 10), None),
            {"free_bits": FreeBits(1.0, "group", groups=3), "reduce": "both"},
            ValueError,
            "5 dimensions are not 3",
        ),
        ((torch.zeros(2, 4), None), {"mask": torch.ones(2)}, TypeError, "bool"),
        ((torch.zeros(2, 4), None), {"mask": torch.ones(3) > 0}, ValueError, r"\(2,\)"),
        ((torch.zeros(2, 4), None), {"offset": torch.zeros(2).long()}, ValueError, "offset"),
        ((torch.zeros(2, 4), torch.zeros(2, 4, device="meta")), {}, ValueError, "meta"),
        ((torch.zeros(2, 4), None), {"mask": torch.ones(2, device="meta") > 0}, ValueError, "meta"),
    ],
)
def test_bad_input_is_refused(
    statistics: tuple[Tensor, Tensor | None],
    keywords: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        gaussian_latent(*statistics, SEED, **keywords)


@pytest.mark.parametrize("seed", [torch.tensor([1, 2]), torch.tensor([1], dtype=torch.int32)])
def test_a_seed_that_is_not_one_int64_is_refused(seed: Tensor) -> None:
    with pytest.raises(ValueError, match="one element"):
        gaussian_latent(torch.zeros(2, 4), None, seed)
