"""Counters of a server in Prometheus' text format, those of Triton Inference Server among them.

Written and read on the event loop only, so nothing is locked.
"""

import os
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import seqvae

FACTORS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
VERSION = "1"
"""The one version of every model served."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


def labels(**values: str) -> Labels:
    """Label names and values in one order, as a key."""
    return tuple(sorted(values.items()))


@dataclass
class Series:
    """One metric: a number for each set of labels."""

    name: str
    about: str
    kind: Literal["counter", "gauge"] = "counter"
    values: dict[Labels, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, amount: float, key: Labels = ()) -> None:
        """Count."""
        self.values[key] += amount

    def lines(self) -> Iterator[str]:
        """Its text."""
        yield from _heading(self.name, self.about, self.kind)
        for key, value in sorted(self.values.items()):
            yield f"{self.name}{_braces(key)} {_number(value)}"


@dataclass
class Histogram:
    """One metric: how many observations were at most each bound, for each set of labels."""

    name: str
    about: str
    bounds: Sequence[float]
    counts: dict[Labels, list[int]] = field(default_factory=dict)
    sums: dict[Labels, float] = field(default_factory=lambda: defaultdict(float))

    def observe(self, value: float, key: Labels = ()) -> None:
        """Count one observation."""
        counts = self.counts.setdefault(key, [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[key] += value

    def lines(self) -> Iterator[str]:
        """Its text."""
        yield from _heading(self.name, self.about, "histogram")
        for key, counts in sorted(self.counts.items()):
            total = 0
            for bound, count in zip((*self.bounds, None), counts, strict=True):
                total += count
                le = "+Inf" if bound is None else f"{bound:g}"
                yield f"{self.name}_bucket{_braces((*key, ('le', le)))} {total}"
            yield f"{self.name}_sum{_braces(key)} {_number(self.sums[key])}"
            yield f"{self.name}_count{_braces(key)} {total}"


@dataclass
class Statistics:
    """What `/v2/models/stats` tells of one model; times in nanoseconds."""

    last_inference: int = 0
    inferences: int = 0
    executions: int = 0
    successes: int = 0
    success_ns: int = 0
    failures: int = 0
    queue_ns: int = 0
    compute_ns: int = 0


class Metrics:
    """All metrics of a server."""

    def __init__(self) -> None:
        self.started = time.time()
        self.statistics: dict[str, Statistics] = defaultdict(Statistics)
        self.success = Series("nv_inference_request_success", "Successful inference requests")
        self.failure = Series(
            "nv_inference_request_failure",
            "Failed inference requests: REJECTED by a full queue, CANCELED by time or the client, "
            "BACKEND errors, OTHER",
        )
        self.count = Series("nv_inference_count", "Rows computed")
        self.executions = Series("nv_inference_exec_count", "Calls of the model (batches)")
        self.duration = Series(
            "nv_inference_request_duration_us", "Cumulative time of successful requests"
        )
        self.queue = Series("nv_inference_queue_duration_us", "Cumulative time in the queue")
        self.compute = Series(
            "nv_inference_compute_infer_duration_us", "Cumulative time of calls, once a request"
        )
        self.tokens = Series("seqvae_tokens_written_total", "Tokens written, end tokens counted")
        self.sound = Series("seqvae_sound_seconds_total", "Seconds of sound computed")
        self.sound_compute = Series(
            "seqvae_sound_compute_seconds_total",
            "Seconds that took; their rate over that of seqvae_sound_seconds_total is the real-time factor",
        )
        self.real_time = Histogram(
            "seqvae_real_time_factor", "Seconds of a call for one second of its sound", FACTORS
        )
        self.responses = Series("seqvae_http_responses_total", "Answers by route and status")
        self.batch_rows = Histogram("seqvae_batch_rows", "Rows in a call of the model", ROWS)
        self.latency = Histogram(
            "seqvae_http_request_seconds", "From a request's head to its answer", SECONDS
        )

    def succeeded(self, model: str, seconds: float) -> None:
        """A request was answered, `seconds` after it was queued."""
        key = labels(model=model, version=VERSION)
        self.success.add(1, key)
        self.duration.add(round(1e6 * seconds), key)
        found = self.statistics[model]
        found.successes += 1
        found.success_ns += round(1e9 * seconds)

    def failed(self, model: str, reason: str) -> None:
        """A request was not; `reason` is one of `REASONS`."""
        self.failure.add(1, labels(model=model, reason=reason, version=VERSION))
        self.statistics[model].failures += 1

    def executed(
        self, model: str, rows: Sequence[int], waited: Sequence[float], seconds: float
    ) -> None:
        """One call is over: rows and seconds in the queue of each request in it."""
        key = labels(model=model, version=VERSION)
        self.count.add(sum(rows), key)
        self.executions.add(1, key)
        self.queue.add(round(1e6 * sum(waited)), key)
        self.compute.add(round(1e6 * seconds * len(rows)), key)
        self.batch_rows.observe(sum(rows), labels(model=model))
        found = self.statistics[model]
        found.last_inference = round(1e3 * time.time())
        found.inferences += sum(rows)
        found.executions += 1
        found.queue_ns += round(1e9 * sum(waited))
        found.compute_ns += round(1e9 * seconds * len(rows))

    def sounded(self, model: str, sound: float, seconds: float) -> None:
        """A call of `seconds` computed so many seconds of sound."""
        key = labels(model=model)
        self.sound.add(sound, key)
        self.sound_compute.add(seconds, key)
        self.real_time.observe(seconds / sound, key)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request got its answer."""
        self.responses.add(1, labels(route=route, status=str(status)))
        self.latency.observe(seconds, labels(route=route))

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The whole exposition.

        Args:
            gauges: {name: (what it is, value now)}, beside those of the process.
        """
        series: list[Series | Histogram] = [
            *(self.success, self.failure, self.count, self.executions, self.duration),
            *(self.queue, self.compute, self.tokens, self.sound, self.sound_compute),
            *(self.real_time, self.responses),
            *(self.batch_rows, self.latency),
            Series(
                "seqvae_build_info",
                "Version of seqvae",
                "gauge",
                {labels(version=seqvae.__version__): 1},
            ),
        ]
        cpu = Series("process_cpu_seconds_total", "Processor time used")
        cpu.add(time.process_time())
        series.append(cpu)
        process = {
            "process_start_time_seconds": ("Start, seconds since 1970", self.started),
            **_process_gauges(),
        }
        for name, (about, value) in {**gauges, **process}.items():
            series.append(Series(name, about, "gauge", {(): value}))
        return "\n".join(line for one in series for line in one.lines()) + "\n"


def _process_gauges() -> dict[str, tuple[str, float]]:
    """Memory and files of this process, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        files = len(os.listdir("/proc/self/fd"))
    except OSError:
        return {}
    return {
        "process_resident_memory_bytes": ("Resident memory", pages * os.sysconf("SC_PAGE_SIZE")),
        "process_open_fds": ("Open files and connections", files),
    }


def _heading(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _braces(key: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in key) + "}" if key else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
