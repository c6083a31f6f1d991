"""The process that measures: reads jobs as JSON lines and answers with rows.

It is apart from `benchmarks.kernels`, because a kernel that hangs or reads out of bounds takes its process along; the
other one then starts a new worker and goes on with the next job.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.measure import Row, excused, failure, measure_on_cpu, measure_on_gpu
from benchmarks.operation import DTYPES, Kind
from benchmarks.plan import Job
from benchmarks.registry import REGISTRY
from benchmarks.roofline import Peaks, measured_peaks
from benchmarks.timing import cache_bytes

# Marks our lines among whatever libraries print.
MARK = "@seqvae "
CPU_ROUNDS = {"cpu": 15, "smoke": 1}


def device_info(kind: Kind) -> dict[str, Any]:
    """Name and ceilings of the device."""
    device = torch.device("cuda" if kind == "cuda" else "cpu")
    dtypes = {name: dtype for dtype, name in DTYPES.items()} if kind == "cuda" else {}
    peaks = measured_peaks(device, dtypes or {"fp32": torch.float32})
    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    return {
        "device": name,
        "copy": peaks.copy,
        "gemm": dict(peaks.gemm),
        "cache_bytes": cache_bytes(device),
        "threads": torch.get_num_threads(),
    }


def measured(job: Job, kind: Kind, info: dict[str, Any]) -> list[Row]:
    """Rows of a job; a provider that raises becomes rows that say so."""
    operation = REGISTRY[job.op]
    case = operation.case(kind, job.case)
    providers = [operation.provider(name) for name in job.providers]
    peaks = Peaks(info["copy"], info["gemm"])
    if kind != "cuda":
        return measure_on_cpu(operation, case, providers, peaks, CPU_ROUNDS[kind])
    rows: list[Row] = []
    for provider in providers:
        try:
            rows += measure_on_gpu(operation, case, provider, peaks, info["cache_bytes"])
        except Exception as error:  # noqa: BLE001 (a rival may raise anything)
            rows += excused(operation, case, provider, *failure(error, provider.ours))
    return rows


def serve(kind: Kind, info: dict[str, Any] | None, answer: Callable[[dict[str, Any]], None]) -> int:
    """Measure what standard input asks for until it ends.

    Args:
        kind: of machine.
        info: `device_info` of an earlier worker of this run, or None to measure it.
        answer: sends a message.
    """
    if info is None:
        info = device_info(kind)
    answer({"info": info})
    for line in sys.stdin:
        fields = json.loads(line)
        job = Job(**{**fields, "providers": tuple(fields["providers"])})
        rows = measured(job, kind, info)
        healthy = True
        if kind == "cuda":
            try:
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
            except RuntimeError as error:
                # After an illegal access every later call fails: this process is of no more use.
                healthy = False
                for row in rows:
                    if row["status"] == "ok":
                        row.update(status="failed", reason=str(error).splitlines()[0])
        answer({"rows": rows, "healthy": healthy})
        if not healthy:
            return 1
    return 0


def main(kind: Kind, info: str | None) -> int:
    """The process's main function; messages go to standard output behind `MARK`."""

    def answer(message: dict[str, Any]) -> None:
        print(MARK + json.dumps(message), flush=True)

    return serve(kind, None if info is None else json.loads(info), answer)
