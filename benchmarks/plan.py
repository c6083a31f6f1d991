"""What the kernel benchmark runs, in which order, and what it leaves out when time is short."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.operation import Kind, Operation


@dataclass(frozen=True)
class Job:
    """One case and the providers that are measured together: one on a GPU, all on a CPU.

    Attributes:
        op: operation.
        case: its case.
        providers: names.
        rank: smaller comes first.
        compiled: whether a compiler runs.
    """

    op: str
    case: str
    providers: tuple[str, ...]
    rank: int
    compiled: bool

    def __str__(self) -> str:
        return f"{self.op} {self.case}: {', '.join(self.providers)}"


@dataclass(frozen=True)
class Plan:
    """Jobs by importance, and providers that cannot run, with the reason."""

    jobs: tuple[Job, ...]
    missing: tuple[tuple[str, str, str, str], ...]


def plan(
    operations: Iterable[Operation],
    kind: Kind,
    providers: Sequence[str] | None = None,
) -> Plan:
    """Everything there is to do on a kind of machine.

    On a GPU every provider is a job of its own, ranked by how much its case and it matter; the plain ones come before
    those that must be compiled. On a CPU the providers of a case take turns, so they are one job.

    Args:
        operations: which.
        kind: of machine.
        providers: only these names.
    """
    device = torch.device("cuda" if kind == "cuda" else "cpu")
    jobs: list[Job] = []
    missing: list[tuple[str, str, str, str]] = []
    for operation in operations:
        for case in operation.cases(kind):
            together: list[str] = []
            compiled = False
            for provider in operation.providers:
                if providers is not None and provider.name not in providers:
                    continue
                reason = provider.missing(case, device)
                if reason is not None:
                    missing.append((operation.name, case.name, provider.name, reason))
                elif kind == "cuda":
                    rank = case.rank + provider.rank
                    names = (provider.name,)
                    jobs.append(Job(operation.name, case.name, names, rank, provider.compiled))
                else:
                    together.append(provider.name)
                    compiled |= provider.compiled
            if together:
                jobs.append(Job(operation.name, case.name, tuple(together), case.rank, compiled))
    # The sort is stable: within a rank the registry's order holds.
    return Plan(tuple(sorted(jobs, key=lambda job: job.rank)), tuple(missing))


@dataclass
class Budget:
    """Time until a deadline, and what jobs have cost so far.

    Attributes:
        deadline: when to have stopped, on `clock`.
        clock: seconds, monotonic.
    """

    deadline: float
    clock: Callable[[], float] = time.monotonic
    # First guesses, until jobs of the kind have been seen: a plain one, and one with a compiler.
    spent: dict[bool, list[float]] = field(default_factory=lambda: {False: [3.0], True: [15.0]})

    @property
    def left(self) -> float:
        """Seconds."""
        return self.deadline - self.clock()

    def affords(self, job: Job) -> bool:
        """Whether a job like it, as they went lately, would end in time."""
        recent = self.spent[job.compiled][-8:]
        return sum(recent) / len(recent) <= self.left

    def note(self, job: Job, seconds: float) -> None:
        """A job took this long."""
        self.spent[job.compiled].append(seconds)
