"""What the just-in-time compiler would be given on a GPU compiles: small integers, absent tensors, odd rows, seven rounds.

The ahead-of-time build has 64-bit sizes and rows on 16 bytes. Here the launchers run on CPU tensors, and what they
start is compiled for the types that Triton reads off their arguments.
"""

import dataclasses
import importlib.util
import os
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.kernels.launch import Launch
from seqvae.ops import FreeBits
from tests.gaussian_cases import SEED, Case, settings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1",
    reason="needs Triton's compiler",
)
CASES = [
    Case(9, 7, "none"),
    Case(9, 12, "dimensions", FreeBits(0.5, "group", 3), masked=True, dtype=torch.bfloat16),
    Case(9, 64, "both", FreeBits(9.0), clamp=(-1.0, 1.0), samples=3, layout="packed"),
    Case(9, 20, "rows", FreeBits(9.0), dtype=torch.float16, rounds=7),
]
TYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.bool: "i1",
}


def compile_start(
    path: str,
    name: str,
    function: Any,  # noqa: ANN401
    grid: tuple[int, ...],
    arguments: tuple[Any, ...],
    constants: dict[str, Any],
    launch: Launch,
) -> None:
    """Takes the place of ``start``: compiles for the arguments, as ``triton.jit`` would."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    def kind(value: Any) -> str:  # noqa: ANN401
        if isinstance(value, Tensor):
            return f"*{TYPES[value.dtype]}"
        if isinstance(value, int):
            return "i32" if -(2**31) <= value < 2**31 else "i64"
        return "fp32"

    runtime = [each for each in function.arg_names if each not in constants]
    kinds = dict(zip(runtime, map(kind, arguments), strict=True))
    signature = {each: kinds.get(each, "constexpr") for each in function.arg_names}
    compiled = triton.compile(
        ASTSource(function, signature, constants),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": launch.warps, "num_stages": launch.stages},
    )
    assert compiled.asm["cubin"], name


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    from seqvae.kernels import gaussian_launch

    monkeypatch.setattr(gaussian_launch, "start", compile_start)
    return gaussian_launch


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_backward_compile(kernels: Any, case: Case) -> None:  # noqa: ANN401
    how, mask = settings(case), case.keywords()["mask"]
    given = [leaf.detach() for leaf in case.statistics()]
    statistics = given if len(given) == 2 else list(given[0].chunk(2, 1))
    written = [torch.empty_like(x) for x in statistics]
    kl = {"none": "elements", "rows": "rows"}.get(case.reduce, "dimensions")
    shared = {"CLAMP": how.clamps, "MANY": how.samples > 1, "ROUNDS": how.rounds}
    plans = (
        kernels.plan(kernels.FORWARD, 90, *statistics, KL=kl, **shared),
        kernels.means_plan(how.width, 90),
    )
    common = {
        "offset_value": how.offset,
        "samples": max(how.samples, 1),
        "noise_scale": how.noise_scale,
        "clamp": (how.low, how.high),
        "row_nats": how.row_nats,
    }
    tensors = (*statistics, torch.tensor([SEED]), None, mask)
    z, rows, groups, scale = kernels.forward(
        *("triton", plans, *tensors),
        **common,
        rows_wanted=case.reduce == "both",
        nats=how.nats,
        width=how.width,
    )
    free = case.reduce != "none" and rows is not None and case.free_bits is not None
    mode = "elements" if case.reduce == "none" else "reduced"
    main = kernels.plan(
        *(kernels.BACKWARD, 90, *statistics, *written), KL=mode, FREE=free, **shared
    )
    kernels.backward("triton", main, *tensors, z, rows, groups, scale, *written, **common)
    if case.reduce == "none":
        alone = kernels.plan(
            *(kernels.BACKWARD, 90, *statistics, *written), KL="none", FREE=False, **shared
        )
        kernels.backward("triton", alone, *tensors, z, None, None, None, *written, **common)


def test_inference_compiles(kernels: Any) -> None:  # noqa: ANN401
    mean = torch.zeros(9, 12, dtype=torch.bfloat16)
    seed = torch.tensor([SEED])
    for samples in (1, 3):
        main = kernels.plan(kernels.SAMPLE, 90, mean, mean, MANY=samples > 1, ROUNDS=10)
        kernels.sample_latent(
            *("triton", main, mean, mean, seed, seed),
            offset_value=0,
            samples=samples,
            noise_scale=0.5,
        )
    kernels.kl_rows("triton", kernels.plan(kernels.KL_ROWS, 90, mean, mean), mean, mean, 0.0)


def test_rows_that_begin_anywhere_compile(kernels: Any) -> None:  # noqa: ANN401
    wide = torch.zeros(9, 67, dtype=torch.bfloat16)
    mean = wide[:, :64]
    plan = kernels.plan(kernels.KL_ROWS, 90, mean, mean)
    assert plan.constants["ALIGNED"] is False
    assert plan.name.endswith("_unaligned")
    kernels.kl_rows("triton", plan, mean, mean, 0.0)
    one = kernels.plan(kernels.KL_ROWS, 90, mean[:1], mean[:1])
    assert one.constants["ALIGNED"] is True
    assert dataclasses.asdict(one)["name"] == "kl_rows_bf16_d64"
