"""How the kernel benchmarks take time: CUDA-graph replay over rotated buffers, interleaved medians on a CPU.

A kernel is timed where it will run, inside a CUDA graph, so that the host costs nothing; at least 20 launches a replay, each
on another set of inputs, all sets together five times the L2 cache, so that no launch finds its data in the cache.
What the host costs is a column of its own (`host_sample`).
"""

import ctypes
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

# Prepares call number i and returns the part of it that is timed.
Arm = Callable[[int], Callable[[], object]]

LEAST_LAUNCHES = 20
L2_FACTOR = 5
# A graph of more launches takes seconds to record. What still fits into the cache then says so.
MOST_SETS = 400
# Share of the free memory that inputs, or what is kept of a recording, may take.
MEMORY_SHARE = 0.25


@dataclass(frozen=True)
class Rotation:
    """How many sets of inputs take turns.

    Attributes:
        sets: of inputs.
        launches: in a replay, a multiple of `sets`.
        nbytes: of all sets together.
        cold: whether they are too many for the cache.
    """

    sets: int
    launches: int
    nbytes: int
    cold: bool


def rotation(set_bytes: int, cache_bytes: int, free_bytes: int) -> Rotation:
    """As many sets as five caches hold, two at least, within a quarter of the free memory.

    Args:
        set_bytes: bytes of one set of inputs.
        cache_bytes: of the device's last-level cache.
        free_bytes: of the device's memory.
    """
    set_bytes = max(1, set_bytes)
    wanted = max(2, math.ceil(L2_FACTOR * cache_bytes / set_bytes))
    fitting = max(1, int(MEMORY_SHARE * free_bytes) // set_bytes)
    sets = min(wanted, fitting, MOST_SETS)
    launches = math.ceil(LEAST_LAUNCHES / sets) * sets
    return Rotation(sets, launches, sets * set_bytes, sets * set_bytes >= L2_FACTOR * cache_bytes)


@dataclass(frozen=True)
class Sampled:
    """Seconds a call, in passes over the same work."""

    passes: tuple[tuple[float, ...], ...]

    def quantile(self, q: float) -> float:
        """Of all samples, by linear interpolation."""
        values = sorted(value for one in self.passes for value in one)
        place = q * (len(values) - 1)
        low = int(place)
        high = min(low + 1, len(values) - 1)
        return values[low] + (place - low) * (values[high] - values[low])

    @property
    def median(self) -> float:
        """Of all samples."""
        return self.quantile(0.5)

    @property
    def spread(self) -> float:
        """How far the passes' medians lie apart, relative to the least: differences below it are noise."""
        medians = [statistics.median(one) for one in self.passes]
        return max(medians) / min(medians) - 1

    def summary(self) -> dict[str, Any]:
        """For a result file, in seconds."""
        return {
            "y_50": self.median,
            "y_20": self.quantile(0.2),
            "y_80": self.quantile(0.8),
            "passes": [statistics.median(one) for one in self.passes],
            "samples": sum(len(one) for one in self.passes),
        }


def repeated(
    sample: Callable[[], float],
    duration: float,
    budget: float = 0.1,
    least: int = 5,
    most: int = 50,
) -> Sampled:
    """Two passes of samples.

    Args:
        sample: takes one and returns seconds a call.
        duration: seconds that taking one lasts.
        budget: seconds that a pass may last, if `least` fit.
        least: samples of a pass.
        most: samples of a pass.
    """
    count = min(most, max(least, int(budget / max(duration, 1e-9))))
    return Sampled(tuple(tuple(sample() for _ in range(count)) for _ in range(2)))


def interleaved(samples: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Sampled]:
    """Samples of several contenders in turn, so that a busy machine slows them alike.

    Args:
        samples: takes one sample of each contender and returns seconds a call.
        rounds: samples of each in either of the two passes.
    """
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in samples}
    for _ in range(2):
        taken: dict[str, list[float]] = {name: [] for name in samples}
        for _ in range(rounds):
            for name, sample in samples.items():
                taken[name].append(sample())
        for name, values in taken.items():
            found[name].append(tuple(values))
    return {name: Sampled(tuple(passes)) for name, passes in found.items()}


def host_sample(arm: Arm, calls: int, synchronize: Callable[[], object]) -> float:
    """Seconds a call as the host sees it: launched one after another, until all are done."""
    ready = [arm(number) for number in range(calls)]
    synchronize()
    began = time.perf_counter()
    for call in ready:
        call()
    synchronize()
    return (time.perf_counter() - began) / calls


class DeviceClock:
    """Seconds that a GPU takes, by its own clock."""

    def __init__(self) -> None:
        self.begin, self.end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )

    def __call__(self, work: Callable[[], object]) -> float:
        """Of the work that a call launches."""
        self.begin.record()
        work()
        self.end.record()
        self.end.synchronize()
        return float(self.begin.elapsed_time(self.end)) * 1e-3


class GraphReplay:
    """Calls recorded into one CUDA graph.

    Args:
        arm: prepares a call; a backward call's forward runs here, outside of the recording.
        launches: calls to record.
        keep: whether every call keeps its results, so that writes go to other memory each time. Without, the
            allocator gives calls the same memory, which matters only to results that fit into the cache.
    """

    def __init__(self, arm: Arm, launches: int, keep: bool) -> None:
        # Autograd runs backward on the stream of the forward: both must be the one recorded.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                arm(0)()
            ready = [arm(number) for number in range(launches)]
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph(keep_graph=True)
        self.launches = launches
        self.kept: list[object] = [ready]
        with torch.cuda.graph(self.graph, stream=stream):
            for call in ready:
                result = call()
                if keep:
                    self.kept.append(result)
                del result
        self.nodes = graph_nodes(self.graph)
        self.graph.instantiate()
        self.clock = DeviceClock()

    def sample(self) -> float:
        """Replay once; seconds a call."""
        return self.clock(self.graph.replay) / self.launches

    def timed(self) -> Sampled:
        """Replay until the figures are steady."""
        self.sample()
        return repeated(self.sample, self.sample() * self.launches)

    @property
    def launches_per_call(self) -> float | None:
        """Kernels, copies and fills of a call; None where the driver does not say."""
        return None if self.nodes is None else self.nodes / self.launches


def graph_nodes(graph: Any) -> int | None:  # noqa: ANN401
    """Nodes of a CUDA graph recorded with keep_graph=True, by the driver; None if it cannot be asked."""
    count = ctypes.c_size_t()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        handle = ctypes.c_void_p(graph.raw_cuda_graph())
        failed = driver.cuGraphGetNodes(handle, None, ctypes.byref(count))
    except (OSError, AttributeError, RuntimeError):
        return None
    return None if failed else count.value


def cache_bytes(device: torch.device) -> int:
    """Of the L2 cache; 32 MiB for a CPU, whose caches are shared in many ways."""
    if device.type != "cuda":
        return 32 << 20
    properties = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "L2_cache_size", 0)) or 64 << 20
