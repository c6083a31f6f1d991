import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from benchmarks import measure, timing
from benchmarks.measure import base_row, judged, measure_on_gpu
from benchmarks.registry import REGISTRY
from benchmarks.roofline import Peaks, measured_peaks
from benchmarks.timing import Rotation, Sampled, host_sample, interleaved, repeated, rotation

MB, GB = 1 << 20, 1 << 30
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("set_bytes", "sets", "launches", "cold"),
    [
        (400 * MB, 2, 20, True),
        (100 * MB, 3, 21, True),
        (10 * MB, 30, 30, True),
        (1 * MB, 300, 300, True),
        (MB // 2, 400, 400, False),
    ],
)
def test_rotation_exceeds_five_caches(set_bytes: int, sets: int, launches: int, cold: bool) -> None:
    turns = rotation(set_bytes, 60 * MB, 100 * GB)
    assert turns == Rotation(sets, launches, sets * set_bytes, cold)
    assert turns.launches >= timing.LEAST_LAUNCHES
    assert turns.launches % turns.sets == 0


def test_rotation_stays_in_memory_and_then_says_that_it_is_not_cold() -> None:
    turns = rotation(100 * MB, 60 * MB, 800 * MB)
    assert turns.sets == 2
    assert turns.nbytes <= 0.25 * 800 * MB
    assert not turns.cold


def test_quantiles_and_spread_of_passes() -> None:
    sampled = Sampled(((1.0, 2.0, 3.0), (4.0, 5.0)))
    assert sampled.median == 3.0
    assert sampled.quantile(0.2) == pytest.approx(1.8)
    assert sampled.quantile(0.8) == pytest.approx(4.2)
    assert sampled.spread == pytest.approx(4.5 / 2.0 - 1)
    assert sampled.summary()["samples"] == 5
    assert Sampled(((7.0,),)).median == 7.0


@pytest.mark.parametrize(("duration", "count"), [(1e-5, 50), (0.01, 10), (1.0, 5)])
def test_two_passes_within_a_budget(duration: float, count: int) -> None:
    ticks = itertools.count()
    sampled = repeated(lambda: float(next(ticks)), duration)
    assert [len(one) for one in sampled.passes] == [count, count]
    assert sampled.passes[1][0] == count


def test_contenders_take_turns() -> None:
    order: list[str] = []

    def sample(name: str) -> Callable[[], float]:
        def take() -> float:
            order.append(name)
            return 1.0

        return take

    found = interleaved({name: sample(name) for name in "ab"}, rounds=3)
    assert order == ["a", "b"] * 6
    assert [len(one) for one in found["b"].passes] == [3, 3]


def test_host_time_counts_the_call_and_not_its_preparation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def spend(seconds: float) -> None:
        now[0] += seconds

    def arm(number: int) -> Callable[[], object]:
        spend(100.0)
        return lambda: spend(2.0)

    assert host_sample(arm, 4, lambda: spend(1.0)) == pytest.approx((4 * 2.0 + 1.0) / 4)


def test_roofline_is_the_slower_of_bytes_and_flops() -> None:
    peaks = Peaks(copy=4e12, gemm={"bf16": 800e12})
    assert peaks.floor(8_000_000, 0, "bf16") == pytest.approx(2e-6)
    assert peaks.floor(8_000_000, 8_000_000_000, "bf16") == pytest.approx(1e-5)
    assert peaks.bound(8_000_000, 0, "bf16") == "memory"
    assert peaks.bound(8_000_000, 8_000_000_000, "bf16") == "compute"


def test_peaks_are_measured() -> None:
    peaks = measured_peaks(CPU, {"fp32": torch.float32})
    assert 1e8 < peaks.copy < 1e13
    assert 1e8 < peaks.gemm["fp32"] < 1e15


def test_what_cannot_be_is_an_error_unless_it_may_come_from_a_cache() -> None:
    operation = REGISTRY["kl_rows"]
    case = operation.cases("smoke")[0]
    provider = operation.providers[0]
    row = base_row(operation, case, provider, "forward")
    peaks = Peaks(copy=row["bytes"] / 1e-6, gemm={"fp32": 1.0})
    cold, warm = Rotation(5, 20, 100, True), Rotation(5, 20, 100, False)

    def verdict(seconds: float, turns: Rotation, cuda: bool = True) -> dict[str, Any]:
        return judged(dict(row), Sampled(((seconds,),)), peaks, turns, cuda)

    assert verdict(1.0e-6, cold)["roofline_share"] == pytest.approx(1.0)
    assert verdict(1.0e-6, cold)["status"] == "ok"
    assert verdict(0.9e-6, cold)["status"] == "impossible"
    assert "111%" in verdict(0.9e-6, cold)["reason"]
    for harmless in (verdict(0.1e-6, warm), verdict(0.1e-6, cold, cuda=False)):
        assert harmless["status"] == "ok"
        assert "roofline_share" not in harmless


class FakeStream:
    def wait_stream(self, other: object) -> None:
        pass


class FakeGraph:
    """Counts replays; a replay takes 3 ms."""

    now = 0.0

    def __init__(self, keep_graph: bool = False) -> None:
        assert keep_graph
        self.instantiated = False

    def instantiate(self) -> None:
        self.instantiated = True

    def replay(self) -> None:
        assert self.instantiated
        FakeGraph.now += 3e-3


class FakeEvent:
    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = FakeGraph.now

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: "FakeEvent") -> float:
        return (other.at - self.at) * 1e3


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of torch.cuda as the GPU's code calls, on CPU tensors."""

    @contextlib.contextmanager
    def recording(graph: FakeGraph, stream: FakeStream) -> Iterator[None]:
        yield

    for name, value in {
        "Stream": FakeStream,
        "current_stream": FakeStream,
        "stream": lambda stream: contextlib.nullcontext(),
        "synchronize": lambda: None,
        "CUDAGraph": FakeGraph,
        "graph": recording,
        "Event": FakeEvent,
        "mem_get_info": lambda: (100 * GB, 140 * GB),
        "memory_allocated": lambda: 100,
        "max_memory_allocated": lambda: 350,
        "reset_peak_memory_stats": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(timing, "graph_nodes", lambda graph: 60)


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("op", ["prefix_attention", "kl_rows"])
def test_rows_of_a_gpu(op: str) -> None:
    operation = REGISTRY[op]
    case = operation.cases("smoke")[0]
    provider = operation.provider("eager")
    peaks = Peaks(copy=1e12, gemm={"fp32": 1e12})
    rows = measure_on_gpu(operation, case, provider, peaks, 1000, CPU)
    assert [row["mode"] for row in rows] == list(case.modes)
    for row in rows:
        assert row["status"] == "ok", row["reason"]
        launches = 60 / row["launches"]
        assert launches >= timing.LEAST_LAUNCHES
        assert row["seconds"]["y_50"] == pytest.approx(3e-3 / launches)
        assert row["peak_bytes"] == 250
        assert row["host_seconds"] > 0
        assert row["cold"]
        assert 0 < row["roofline_share"] < 1
        assert row["error"] < 1e-5


@pytest.mark.usefixtures("fake_cuda")
def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = REGISTRY["kl_rows"]
    case = operation.cases("smoke")[0]

    def wrong(case: Any) -> Any:  # noqa: ANN401
        return lambda inputs: (torch.zeros(case.sizes["N"]),)

    from dataclasses import replace

    provider = replace(operation.provider("eager"), make=wrong)
    monkeypatch.setattr(measure, "GraphReplay", None)
    peaks = Peaks(copy=1e12, gemm={"fp32": 1e12})
    (row,) = measure_on_gpu(operation, case, provider, peaks, 1000, CPU)
    assert row["status"] == "wrong"
    assert row["error"] == pytest.approx(1.0)
    assert "seconds" not in row
