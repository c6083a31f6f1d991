"""Rows of the kernel benchmark: first right, then fast, then plausible."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.contender import Contender
from benchmarks.operation import DTYPES, Case, Mode, Operation, Provider, nbytes
from benchmarks.roofline import IMPOSSIBLE, Peaks
from benchmarks.timing import (
    MEMORY_SHARE,
    GraphReplay,
    Rotation,
    Sampled,
    host_sample,
    interleaved,
    rotation,
)
from seqvae.ops import dispatch

Row = dict[str, Any]
# Host-side figures are medians of this many rounds of this many calls.
HOST_ROUNDS, HOST_CALLS = 3, 20
# On a CPU a sample lasts at least this long, so that the clock's steps do not show, and all samples of a case in one
# mode together about as long as the second, unless that is less than three rounds.
SAMPLE_SECONDS, CASE_SECONDS, LEAST_ROUNDS = 2e-3, 1.0, 3


def base_row(operation: Operation, case: Case, provider: Provider, mode: Mode) -> Row:
    """What a row says before anything is measured."""
    return {
        "op": operation.name,
        "case": case.name,
        "provider": provider.name,
        "mode": mode,
        "status": "ok",
        "reason": "",
        "ours": provider.ours,
        "compared": provider.compared,
        "dtype": DTYPES[case.dtype],
        "sizes": dict(case.sizes),
        "switches": dict(case.switches),
        "curve": case.curve,
        "x_name": case.x,
        "x_value": case.x_value,
        "bytes": operation.traffic(case, mode),
        "flops": operation.flops(case, mode),
    }


def excused(
    operation: Operation, case: Case, provider: Provider, status: str, reason: str
) -> list[Row]:
    """Rows of a provider that was not measured, and why: it is listed all the same."""
    changes = {"status": status, "reason": reason}
    return [{**base_row(operation, case, provider, mode), **changes} for mode in case.modes]


def judged(row: Row, sampled: Sampled, peaks: Peaks, rotated: Rotation, cuda: bool) -> Row:
    """The row with its time, rate and share of the roofline, and whether that is possible."""
    row["seconds"] = sampled.summary()
    row["spread"] = sampled.spread
    row["gigabytes_per_second"] = row["bytes"] / sampled.median / 1e9
    if row["flops"]:
        row["teraflops_per_second"] = row["flops"] / sampled.median / 1e12
    row["rotated_bytes"], row["cold"] = rotated.nbytes, rotated.cold
    row["bound"] = peaks.bound(row["bytes"], row["flops"], row["dtype"])
    # From a cache anything is possible, and a CPU's caches are not rotated away.
    if not (cuda and rotated.cold):
        return row
    row["roofline_share"] = peaks.floor(row["bytes"], row["flops"], row["dtype"]) / sampled.median
    if row["compared"] and row["roofline_share"] > IMPOSSIBLE:
        row["status"] = "impossible"
        row["reason"] = f"{row['roofline_share']:.0%} of the roofline"
    return row


def paths_taken(operation: Operation) -> dict[str, str]:
    """What our operation ran last, by part, and why."""
    return {
        choice.op: f"{choice.path} ({choice.reason})"
        for choice in dispatch.explain()
        if choice.op.startswith(operation.name)
    }


def checked(contender: Contender) -> tuple[Row, str | None]:
    """Fields that hold for every mode, and why the provider is not to be timed.

    The reason begins with "wrong" where its results are, with "unavailable" where it ran on another path.
    """
    try:
        errors = contender.errors()
    except AssertionError as error:
        return {}, f"wrong: {error}"
    fields: Row = {"error": max(errors.values()), "errors": errors}
    provider = contender.provider
    if provider.ours:
        fields["paths"] = paths_taken(contender.operation)
        taken = sorted(set(fields["paths"].values()))
        if provider.path and not all(path.startswith(provider.path) for path in taken):
            return fields, f"unavailable: ran {', '.join(taken)}"
        if provider.path and not taken:
            return fields, "unavailable: the operation has no such path"
    wrong = {name: e for name, e in errors.items() if not e <= contender.tolerated()}
    if wrong:
        said = ", ".join(f"{name} {error:.1e}" for name, error in wrong.items())
        return fields, f"wrong: {said}, tolerated {contender.tolerated():.0e}"
    saved = contender.saved()
    if saved is not None:
        fields["saved_tensors"], fields["saved_bytes"] = saved
    return fields, None


def refused(
    operation: Operation, case: Case, provider: Provider, reason: str, fields: Row
) -> list[Row]:
    """Rows of a provider that failed its check."""
    status, _, text = reason.partition(": ")
    return [{**row, **fields} for row in excused(operation, case, provider, status, text)]


def failure(error: Exception, ours: bool) -> tuple[str, str]:
    """Status and reason of a provider that raised: ours has failed, a rival cannot do this case."""
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
    return ("failed" if ours else "unavailable"), text


def measure_on_gpu(
    operation: Operation,
    case: Case,
    provider: Provider,
    peaks: Peaks,
    cache: int,
    device: torch.device | None = None,
) -> list[Row]:
    """All modes of a provider.

    Args:
        operation: what is computed.
        case: shape and setting.
        provider: how.
        peaks: of this device.
        cache: bytes of its L2 cache.
        device: the current CUDA device when None.

    Raises:
        Exception: whatever the provider raises.
    """
    device = device or torch.device("cuda")
    contender = Contender(operation, case, provider, device)
    fields, reason = checked(contender)
    if reason is not None:
        return refused(operation, case, provider, reason, fields)
    free, _ = torch.cuda.mem_get_info()
    turns = rotation(nbytes(contender.inputs(0)), cache, free)
    rows = []
    with contender.active():
        contender.prepare(turns.sets)
        for mode in case.modes:
            row = {**base_row(operation, case, provider, mode), **fields}
            arm = contender.arm(mode)
            row["peak_bytes"] = contender.peak(mode)
            # What a call holds until its gradients are taken.
            held = contender.peak("both") if contender.differentiable else row["peak_bytes"]
            room = MEMORY_SHARE * free
            calls = HOST_CALLS if held * HOST_CALLS < room else 2
            host = [host_sample(arm, calls, torch.cuda.synchronize) for _ in range(HOST_ROUNDS)]
            row["host_seconds"] = sorted(host)[len(host) // 2]
            replay = GraphReplay(arm, turns.launches, keep=held * turns.launches < room)
            row["launches"] = replay.launches_per_call
            rows.append(judged(row, replay.timed(), peaks, turns, cuda=True))
            del replay
    return rows


def measure_on_cpu(
    operation: Operation, case: Case, providers: Sequence[Provider], peaks: Peaks, rounds: int
) -> list[Row]:
    """All modes of all providers, in turn; nothing raises, a failure is a row.

    Args:
        operation: what is computed.
        case: shape and setting.
        providers: contenders.
        peaks: of this machine.
        rounds: samples of each in a pass at most.
    """
    device = torch.device("cpu")
    rows: list[Row] = []
    racing: dict[str, tuple[Contender, Row]] = {}
    for provider in providers:
        try:
            contender = Contender(operation, case, provider, device)
            fields, reason = checked(contender)
        except Exception as error:  # noqa: BLE001 (a rival may raise anything)
            rows += excused(operation, case, provider, *failure(error, provider.ours))
            continue
        if reason is None:
            racing[provider.name] = contender, fields
        else:
            rows += refused(operation, case, provider, reason, fields)
    for mode in case.modes:
        samples = {name: _HostSample(one, mode) for name, (one, _) in racing.items()}
        round_seconds = sum(sample.duration for sample in samples.values())
        fitting = max(LEAST_ROUNDS, int(CASE_SECONDS / 2 / max(round_seconds, 1e-9)))
        for name, sampled in interleaved(samples, min(rounds, fitting)).items():
            contender, fields = racing[name]
            row = {**base_row(operation, case, contender.provider, mode), **fields}
            turns = Rotation(1, 1, 0, cold=False)
            rows.append(judged(row, sampled, peaks, turns, cuda=False))
    return rows


class _HostSample:
    """Takes samples of one contender in one mode."""

    def __init__(self, contender: Contender, mode: Mode) -> None:
        self.contender, self.mode = contender, mode
        self.calls = 1
        with contender.active():
            contender.prepare(1)
        # Once to warm up (a backward pass may still be compiled), once to see how long it takes.
        self()
        once = self()
        self.calls = max(1, math.ceil(SAMPLE_SECONDS / once))
        self.duration = self.calls * once

    def __call__(self) -> float:
        with self.contender.active():
            return host_sample(self.contender.arm(self.mode), self.calls, lambda: None)
