"""The fastest that anything could be on this device, from what the device reached in the same run."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.timing import DeviceClock

# A share of the roofline above this is an error of measurement: work was skipped or came from a cache.
IMPOSSIBLE = 1.05


@dataclass(frozen=True)
class Peaks:
    """What this device reached.

    Attributes:
        copy: bytes a second of a large copy, read and written.
        gemm: flops a second of a large matrix product, by dtype ("bf16", "fp32", ...).
    """

    copy: float
    gemm: Mapping[str, float]

    def floor(self, nbytes: int, flops: int, dtype: str) -> float:
        """Seconds below which nothing gets: the bytes at the copy's rate, or the flops at the product's."""
        return max(nbytes / self.copy, flops / self.gemm[dtype] if flops else 0.0)

    def bound(self, nbytes: int, flops: int, dtype: str) -> str:
        """Which of the two it is: "memory" or "compute"."""
        compute = flops / self.gemm[dtype] if flops else 0.0
        return "compute" if compute > nbytes / self.copy else "memory"


def measured_peaks(device: torch.device, dtypes: Mapping[str, torch.dtype]) -> Peaks:
    """Time a large copy and large matrix products, of random numbers: zeros run faster.

    Args:
        device: which.
        dtypes: of the products, by name.
    """
    clock = DeviceClock() if device.type == "cuda" else host_clock
    # 1 GiB is far beyond any cache; 64 MiB on a CPU.
    source = torch.rand(1 << (28 if device.type == "cuda" else 24), device=device)
    target = torch.empty_like(source)

    def copy() -> Tensor:
        return target.copy_(source)

    rate = 2 * source.nbytes / median_seconds(copy, clock)
    return Peaks(rate, {name: gemm_rate(device, dtype, clock) for name, dtype in dtypes.items()})


def gemm_rate(
    device: torch.device, dtype: torch.dtype, clock: Callable[[Callable[[], object]], float]
) -> float:
    """Flops a second of a square matrix product."""
    size = 768
    if device.type == "cuda":
        size = 4096 if dtype == torch.float32 else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: a @ b, clock)


def host_clock(work: Callable[[], object]) -> float:
    """Seconds that a call takes on the host."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_seconds(
    work: Callable[[], object], clock: Callable[[Callable[[], object]], float], repeats: int = 10
) -> float:
    """Of some calls, after three that warm up."""
    for _ in range(3):
        work()
    return statistics.median(clock(work) for _ in range(repeats))
