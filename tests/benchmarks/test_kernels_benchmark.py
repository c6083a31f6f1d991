"""Every operation and provider as a pytest-benchmark; in ordinary runs each is called once.

    pytest tests/benchmarks/test_kernels_benchmark.py --benchmark-enable --benchmark-json=kernels.json

Compare the ratios in `extra_info`, not times of different machines: eager is measured in the same test.
"""

from typing import Any

import pytest
import torch

from benchmarks.contender import Contender
from benchmarks.measure import checked
from benchmarks.operation import DTYPES, Case, Kind, Operation, Provider, nbytes
from benchmarks.registry import REGISTRY
from benchmarks.roofline import Peaks, measured_peaks
from benchmarks.timing import (
    GraphReplay,
    cache_bytes,
    host_sample,
    interleaved,
    repeated,
    rotation,
)

pytest.importorskip("pytest_benchmark")

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
ALL = [
    pytest.param(operation, provider, id=f"{operation.name}-{provider.name}")
    for operation in REGISTRY.values()
    for provider in operation.providers
]


@pytest.fixture(scope="module")
def peaks() -> Peaks:
    dtypes = {name: dtype for dtype, name in DTYPES.items() if CUDA or name == "fp32"}
    return measured_peaks(DEVICE, dtypes)


def replay(contender: Contender) -> GraphReplay:
    """The whole of a call in a CUDA graph, over rotated inputs."""
    free, _ = torch.cuda.mem_get_info()
    turns = rotation(nbytes(contender.inputs(0)), cache_bytes(DEVICE), free)
    with contender.active():
        contender.prepare(turns.sets)
        return GraphReplay(contender.arm(contender.case.modes[-1]), turns.launches, keep=False)


def on_gpu(benchmark: Any, contender: Contender, plain: Contender) -> tuple[float, float]:  # noqa: ANN401
    """Seconds a call of a provider and of eager; pytest-benchmark times whole replays."""
    mine = replay(contender)

    def once() -> None:
        mine.graph.replay()
        torch.cuda.synchronize()

    benchmark.pedantic(once, rounds=10, warmup_rounds=1)
    benchmark.extra_info["calls_per_round"] = mine.launches
    seconds = repeated(mine.sample, mine.sample() * mine.launches).median
    other = replay(plain)
    return seconds, repeated(other.sample, other.sample() * other.launches).median


def on_cpu(benchmark: Any, contender: Contender, plain: Contender) -> tuple[float, float]:  # noqa: ANN401
    """Seconds a call of a provider and of eager, in turn."""
    for one in (contender, plain):
        with one.active():
            one.prepare(1)

    def sample(one: Contender) -> float:
        with one.active():
            return host_sample(one.arm(one.case.modes[-1]), 1, lambda: None)

    arm = contender.arm(contender.case.modes[-1])
    with contender.active():
        benchmark.pedantic(
            lambda call: call(), setup=lambda: ((arm(0),), {}), rounds=10, warmup_rounds=1
        )
    found = interleaved({"mine": lambda: sample(contender), "eager": lambda: sample(plain)}, 5)
    return found["mine"].median, found["eager"].median


# Inductor itself uses what torch deprecates.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("operation", "provider"), ALL)
def test_benchmark(
    benchmark: Any,  # noqa: ANN401
    peaks: Peaks,
    operation: Operation,
    provider: Provider,
) -> None:
    disabled = bool(benchmark.disabled)
    kind: Kind = "smoke" if disabled else "cuda" if CUDA else "cpu"
    case: Case = operation.cases(kind)[0]
    reason = provider.missing(case, DEVICE)
    if reason is None and disabled and provider.compiled:
        reason = "a compiler takes seconds"
    if reason is not None:
        pytest.skip(reason)
    contender = Contender(operation, case, provider, DEVICE)
    fields, refused = checked(contender)
    if refused is not None and refused.startswith("unavailable"):
        pytest.skip(refused)
    assert refused is None
    plain = Contender(operation, case, operation.providers[0], DEVICE)
    seconds, eager = (on_gpu if CUDA else on_cpu)(benchmark, contender, plain)
    mode = case.modes[-1]
    moved, flops = operation.traffic(case, mode), operation.flops(case, mode)
    benchmark.group = f"{operation.name} {case.name} {mode}"
    benchmark.extra_info.update(
        seconds_per_call=seconds,
        times_as_fast_as_eager=eager / seconds,
        bytes=moved,
        flops=flops,
        roofline_share=peaks.floor(moved, flops, DTYPES[case.dtype]) / seconds,
        error=fields["error"],
        saved_bytes=fields.get("saved_bytes"),
    )
    assert seconds > 0
