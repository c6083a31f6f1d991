"""The Gaussian latent's Triton source, interpreted: against float64, poison, gradcheck, reductions over many programs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.kernels import gaussian_launch as kernels
from seqvae.ops import FreeBits, explain, gaussian_latent, kl_rows, sample_latent, use
from seqvae.ops import gaussian_operators as operators
from tests.gaussian_cases import SEED, Case, every_switch, flat, odd_sizes, run, settings, truth


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Fill outputs and scratch with NaN before the kernels run, and take the kernels."""
    torch.use_deterministic_algorithms(True)
    with use("triton"):
        yield
    torch.use_deterministic_algorithms(False)


def paths() -> dict[str, str]:
    return {choice.op: choice.path for choice in explain()}


@pytest.mark.parametrize("case", [*odd_sizes(), *every_switch()], ids=str)
def test_values_and_gradients_equal_float64(case: Case) -> None:
    for found, expected in zip(run(case), truth(case), strict=True):
        torch.testing.assert_close(found.double(), expected, atol=3e-6, rtol=3e-6)
    assert paths()["gaussian_latent"] == paths()["gaussian_latent_backward"] == "triton"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", [*every_switch()[2:5], Case(3, 8), Case(3, 5)], ids=str)
def test_half_precision_is_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    case = replace(case, dtype=dtype)
    # The interpreter cuts bfloat16 off where a GPU rounds: one unit in the last place, not half.
    relative = 8e-3 if dtype == torch.bfloat16 else 1e-3
    for found, expected in zip(run(case), truth(case), strict=True):
        tolerance = relative if found.dtype == dtype else 3e-6
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=tolerance)


def test_the_widest_row() -> None:
    case = Case(2, 4096, reduce="both", free_bits=FreeBits(0.5, "dimension"))
    for found, expected in zip(run(case), truth(case), strict=True):
        torch.testing.assert_close(found.double(), expected, atol=3e-6, rtol=3e-6)


def test_a_wider_row_is_left_to_the_reference() -> None:
    mean = torch.zeros(1, 4097)
    z, kl = gaussian_latent(mean, mean, torch.tensor([1]), reduce="rows")
    assert torch.isfinite(z).all()
    assert not kl.any()
    choice = next(choice for choice in explain() if choice.op == "gaussian_latent")
    assert choice.path == "reference"
    assert "4097 dimensions, at most 4096" in choice.reason


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("groups", [12, 3, 1])
def test_means_do_not_depend_on_the_number_of_programs(groups: int, masked: bool) -> None:
    case = Case(400, 12, "both", FreeBits(1.8, "group", groups), masked=masked)
    leaves = [leaf.detach() for leaf in case.statistics()]
    how = settings(case)
    main = kernels.plan(kernels.FORWARD, 90, *leaves, KL="dimensions", CLAMP=False, MANY=False, ROUNDS=10)  # fmt: skip
    assert main.tiles(400) == 7
    expected = truth(case)
    for programs in (1, 3, 7, 100):
        blocks = {**main.launch.blocks, "PROGRAMS": programs}
        plan = replace(main, launch=replace(main.launch, blocks=blocks))
        _, rows, means, scale = kernels.forward(
            "triton",
            (plan, kernels.means_plan(how.width, 90)),
            *(*leaves, torch.tensor([SEED]), None, case.keywords()["mask"]),
            offset_value=how.offset,
            samples=1,
            noise_scale=1.0,
            clamp=(how.low, how.high),
            rows_wanted=True,
            row_nats=how.row_nats,
            nats=how.nats,
            width=how.width,
        )
        assert rows is not None and means is not None and scale is not None
        torch.testing.assert_close(rows.double(), expected[1], atol=3e-6, rtol=3e-6)
        torch.testing.assert_close(means.double(), expected[2], atol=3e-6, rtol=3e-6)
        count = int(case.keywords()["mask"].sum()) if masked else 400
        passes = (means > how.nats).repeat_interleave(how.width)
        torch.testing.assert_close(scale, passes.float() / count)


def test_runs_are_equal() -> None:
    case = Case(63, 20, "both", FreeBits(0.7, "dimension"), samples=2)
    first = run(case)
    assert all(torch.equal(a, b) for a, b in zip(first, run(case), strict=True))


@pytest.mark.parametrize(
    "case",
    [
        Case(2, 5, dtype=torch.float64, reduce="none"),
        Case(2, 4, dtype=torch.float64, free_bits=FreeBits(2.0), clamp=(-1.0, 1.0), samples=2),
        Case(2, 6, "both", FreeBits(1.2, "group", 3), dtype=torch.float64, layout="packed"),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_values(case: Case) -> None:
    """gradcheck of the Triton source itself: the operators in float64, which only the interpreter takes."""
    leaves, how = case.statistics(), settings(case)

    class Kernels(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *leaves: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401
            ctx.save_for_backward(*leaves)
            seed = torch.tensor([SEED])
            z, kl, groups, ctx.scale = operators.gaussian_latent_forward(
                *case.arguments(list(leaves)), seed, None, None, *how
            )
            ctx.present = [x.numel() > 0 for x in (z, kl, groups)]
            return tuple(x for x in (z, kl, groups) if x.numel())

        @staticmethod
        def backward(ctx: Any, *given: Tensor) -> Any:  # noqa: ANN401
            left = list(given)
            d_z, d_kl, d_groups = (left.pop(0) if there else None for there in ctx.present)
            gradients = operators.gaussian_latent_backward(
                *(*case.arguments(list(ctx.saved_tensors)), torch.tensor([SEED]), None, None),
                *(ctx.scale if d_groups is not None else None, d_z, d_kl, d_groups, *how),
            )
            return gradients[0] if case.layout == "packed" else gradients

    # The operators' fake implementation promises a float32 KL; eager calls do not ask it.
    assert torch.autograd.gradcheck(lambda *given: Kernels.apply(*given), leaves)  # type: ignore[no-untyped-call]
    assert paths()["gaussian_latent"] == paths()["gaussian_latent_backward"] == "triton"


@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("layout", ["split", "packed", "transposed"])
@pytest.mark.parametrize("dim", [5, 12, 64])
def test_inference_gives_what_the_differentiable_call_gives(
    dim: int, layout: str, samples: int | None
) -> None:
    case = Case(7, dim, layout=layout, samples=samples)
    statistics = [x if x is None else x.detach() for x in case.arguments(case.statistics())]
    mean, log_variance = statistics
    assert mean is not None
    seed = torch.tensor([SEED])
    keywords: dict[str, Any] = {"offset": 5, "samples": samples, "noise_scale": 0.7}
    z, kl = flat(*gaussian_latent(mean, log_variance, seed, **keywords, reduce="rows"))
    assert torch.equal(sample_latent(mean, log_variance, seed, **keywords), z)
    torch.testing.assert_close(kl_rows(mean, log_variance), kl, atol=1e-6, rtol=1e-6)
    assert float(kl_rows(mean, log_variance, 100.0).min()) >= 100.0
    assert paths()["sample_latent"] == paths()["kl_rows"] == "triton"


def test_a_nan_stays_in_its_row() -> None:
    mean, log_variance = torch.zeros(3, 4), torch.zeros(3, 4)
    log_variance[1, 2] = float("nan")
    z, rows = gaussian_latent(
        *(mean, log_variance, torch.tensor([1])), reduce="rows", clamp=(-1.0, 1.0), free_bits=FreeBits(0.1)
    )  # fmt: skip
    assert torch.isfinite(z[::2]).all()
    assert torch.isnan(z[1, 2])
    assert torch.equal(torch.isnan(rows), torch.tensor([False, True, False]))
