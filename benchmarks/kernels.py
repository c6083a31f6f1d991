"""The fused kernels against eager PyTorch, torch.compile, its attention kernels and FlexAttention.

    python -m benchmarks.kernels            on the GPU if there is one (8 minutes), else on the CPU (2 minutes)
    python -m benchmarks.kernels --list     what would run, the most important first

Every provider's outputs and gradients are compared with a float64 reference before it is timed; one that is wrong is
reported, not timed, and the exit code is 1. On a GPU calls are replayed from a CUDA graph, each on another set of inputs,
together five times the L2 cache. Rates are those of the bytes and flops that the operation needs, whatever a provider moves;
their share of the roofline is taken from a copy and a matrix product timed in the same run, and a share above 105 % is an
error. Results are written after every job to benchmarks/results/DEVICE/: kernels.json, kernels.csv, curves; the ledger's
rows at the end.
"""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks import plots, record
from benchmarks.bars import GPU, outcomes
from benchmarks.measure import Row, excused
from benchmarks.operation import Kind
from benchmarks.plan import Budget, Job, Plan, plan
from benchmarks.registry import REGISTRY
from benchmarks.supervisor import Supervisor
from benchmarks.tables import is_red, lines, notes, seconds, summary, with_ratios, write_csv

MINUTES: dict[Kind, float] = {"cuda": 8.0, "cpu": 2.0, "smoke": 2.0}
# A job that has begun may end this much later than the deadline.
GRACE_SECONDS = 20.0


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Measure; the exit code is 1 if something of ours is wrong or a figure is impossible."""
    arguments = parse(argv, prog)
    if arguments.worker is not None:
        from benchmarks.kernels_worker import main as work

        return work(arguments.worker, arguments.info)
    kind: Kind = arguments.kind
    operations = [REGISTRY[name] for name in arguments.only or REGISTRY]
    planned = plan(operations, kind, arguments.providers)
    if arguments.list:
        for job in planned.jobs:
            print(f"{job.rank} {job}")
        return 0
    budget = Budget(deadline(arguments, kind))
    run = Run(kind, planned, budget, store=kind != "smoke")
    return run(Supervisor(kind))


def parse(argv: Sequence[str] | None, prog: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_mutually_exclusive_group()
    kinds: tuple[tuple[str, Kind, str], ...] = (
        ("--gpu", "cuda", "on an NVIDIA GPU"),
        ("--cpu", "cpu", "on the CPU"),
        ("--smoke", "smoke", "tiny, on the CPU; nothing is written"),
    )
    for flag, kind, what in kinds:
        where.add_argument(flag, dest="kind", action="store_const", const=kind, help=what)
    where.add_argument("--worker", choices=["cuda", "cpu", "smoke"], help=argparse.SUPPRESS)
    parser.add_argument("--info", help=argparse.SUPPRESS)
    stop = parser.add_mutually_exclusive_group()
    stop.add_argument("--minutes", type=float, help="time to spend [default: 8, on a CPU 2]")
    stop.add_argument("--until", type=float, metavar="EPOCH", help="or when to stop, Unix time")
    parser.add_argument("--only", nargs="+", choices=list(REGISTRY), metavar="OP")
    parser.add_argument("--providers", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="print the jobs, most important first")
    arguments = parser.parse_args(argv)
    known = {provider.name for operation in REGISTRY.values() for provider in operation.providers}
    unknown = set(arguments.providers or ()) - known
    if unknown:
        parser.error(f"no provider {min(unknown)!r}; there are {', '.join(sorted(known))}")
    found = torch.cuda.is_available()
    if arguments.kind == "cuda" and not found and not arguments.list:
        parser.error("--gpu needs an NVIDIA GPU and a CUDA build of torch; torch sees none")
    arguments.kind = arguments.kind or ("cuda" if found else "cpu")
    return arguments


def deadline(arguments: argparse.Namespace, kind: Kind) -> float:
    """When to stop, on the monotonic clock."""
    if arguments.until is not None:
        return time.monotonic() + float(arguments.until) - time.time()
    minutes = MINUTES[kind] if arguments.minutes is None else arguments.minutes
    return time.monotonic() + 60 * float(minutes)


class Run:
    """Does the jobs that there is time for and writes what is known after each.

    Args:
        kind: of machine.
        planned: jobs.
        budget: time.
        store: whether to write results and ledger.
    """

    def __init__(self, kind: Kind, planned: Plan, budget: Budget, store: bool) -> None:
        self.kind, self.planned, self.budget, self.store = kind, planned, budget, store
        self.rows: list[Row] = []
        self.info: dict[str, Any] = {}
        for op, case, provider, reason in planned.missing:
            self.excuse(op, case, provider, "unavailable", reason)

    def excuse(self, op: str, case: str, provider: str, status: str, reason: str) -> None:
        """List a provider that is not measured."""
        operation = REGISTRY[op]
        of = operation.case(self.kind, case)
        self.rows += excused(operation, of, operation.provider(provider), status, reason)

    @property
    def folder(self) -> Path:
        """Where results go: named after the GPU, or cpu."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.info["device"].lower()).strip("-")
        return record.RESULTS / slug

    def __call__(self, supervisor: Supervisor) -> int:
        """Run, print, write; the exit code."""
        try:
            self.info = supervisor.ready()
            print(ceilings(self.info), flush=True)
            for job in self.planned.jobs:
                if self.budget.affords(job):
                    self.do(job, supervisor)
                else:
                    for provider in job.providers:
                        self.excuse(job.op, job.case, provider, "left out", "no time was left")
        finally:
            supervisor.close()
        print("\n".join([*lines(self.rows), "", *summary(self.rows)]))
        return self.finish()

    def do(self, job: Job, supervisor: Supervisor) -> None:
        """Measure one job."""
        began = self.budget.clock()
        rows = supervisor.measure(job, max(0.0, self.budget.left) + GRACE_SECONDS)
        self.rows += rows
        took = self.budget.clock() - began
        self.budget.note(job, took)
        print(f"{took:5.1f} s  {job}  {in_short(rows)}", flush=True)
        if self.store:
            self.write()

    def write(self) -> Path:
        """Everything so far, as JSON and CSV."""
        rows = with_ratios(self.rows)
        name = f"{self.folder.name}/kernels"
        path = record.write_result(name, {"device": self.info, "rows": rows})
        versions = record.environment()["versions"]
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        write_csv(path.with_suffix(".csv"), rows, self.info["device"], stamp, versions["torch"])
        return path

    def finish(self) -> int:
        """Ledger, curves and exit code."""
        red = [row for row in self.rows if is_red(row)]
        left: dict[str, dict[str, None]] = {}
        for row in self.rows:
            if row["status"] == "left out":
                left.setdefault(f"{row['op']} {row['case']}", {})[row["provider"]] = None
        if left:
            print("\nleft out for lack of time:")
        for case, providers in left.items():
            print(f"  {case}: {', '.join(providers)}")
        if self.store:
            path = self.write()
            found = outcomes(GPU, self.rows) if self.kind == "cuda" else []
            bars = [{**row, "result_file": path} for row in found]
            for bar in bars:
                print(f"bar {bar['bar']} {'met' if bar['met'] else 'NOT MET'}: {bar['what']}: ")
                print(f"    {bar['figure']} (target {bar['target']})")
            if bars:
                record.ledger("B", bars)
            if plots.available():
                plots.write_plots(self.folder, self.rows, self.info["device"])
            else:
                print("no curves: matplotlib is not installed")
            print(f"written to {path.relative_to(record.ROOT)}")
        for op, case in dict.fromkeys((row["op"], row["case"]) for row in red):
            for note in notes([row for row in red if (row["op"], row["case"]) == (op, case)]):
                print(f"{op} {case}: {note}", file=sys.stderr)
        return bool(red)


def ceilings(info: dict[str, Any]) -> str:
    """What the device reached, in words."""
    gemm = ", ".join(f"{name} {rate / 1e12:,.1f}" for name, rate in info["gemm"].items())
    return (
        f"{info['device']}: copy {info['copy'] / 1e12:.2f} TB/s; matrix product TFLOP/s: {gemm}; "
        f"cache {info['cache_bytes'] / 1e6:.0f} MB; threads {info['threads']}"
    )


def in_short(rows: Sequence[Row]) -> str:
    """A job's outcome on a line."""
    if len({row["provider"] for row in rows}) > 1:
        right = sum(row["status"] == "ok" for row in rows)
        return f"{right} of {len(rows)} timed"
    said = []
    for row in rows:
        taken = seconds(row)
        said.append(
            f"{row['mode']} {taken * 1e6:,.1f} us"
            if taken is not None
            else f"{row['mode']} {row['status']}: {row['reason']}"
        )
    return ", ".join(said)


if __name__ == "__main__":
    sys.exit(main())
