"""Starts the measuring process, hands it jobs, and outlives it."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from benchmarks.kernels_worker import MARK
from benchmarks.measure import Row, excused
from benchmarks.operation import Kind
from benchmarks.plan import Job
from benchmarks.record import ROOT
from benchmarks.registry import REGISTRY

# Importing torch and measuring the ceilings, on a machine that has never done it.
START_SECONDS = 180.0
PLAIN_SECONDS = 60.0
COMPILED_SECONDS = 150.0


class Worker(Protocol):
    """What the supervisor needs of a measuring process."""

    def ask(self, message: dict[str, Any] | None, limit: float) -> dict[str, Any] | None:
        """Send a message, if there is one, and return the answer; None if none comes in time or ever."""

    def stop(self) -> None:
        """End it, whatever it does."""


class Process:
    """A worker in a process of its own.

    Args:
        kind: of machine.
        info: of an earlier worker, so that all rows of a run share its ceilings.
    """

    def __init__(self, kind: Kind, info: dict[str, Any] | None) -> None:
        command = [sys.executable, "-m", "benchmarks.kernels", f"--worker={kind}"]
        if info is not None:
            command.append(f"--info={json.dumps(info)}")
        # In a group of its own, with the compilers that it starts.
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def ask(self, message: dict[str, Any] | None, limit: float) -> dict[str, Any] | None:
        """Send a message, if there is one, and wait for the next answer, at most `limit` seconds."""
        if message is not None:
            assert self.process.stdin is not None
            try:
                self.process.stdin.write(json.dumps(message) + "\n")
                self.process.stdin.flush()
            except OSError:
                return None
        while True:
            try:
                line = self.lines.get(timeout=limit)
            except queue.Empty:
                return None
            if line is None:
                return None
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return answer

    def stop(self) -> None:
        """End the process and all that it started, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


class Supervisor:
    """Measures jobs one after another, with a new process whenever one has broken down.

    Args:
        kind: of machine.
        start: starts a worker.
    """

    def __init__(
        self, kind: Kind, start: Callable[[Kind, dict[str, Any] | None], Worker] = Process
    ) -> None:
        self.kind, self.start = kind, start
        self.info: dict[str, Any] | None = None
        self.worker: Worker | None = None

    def ready(self) -> dict[str, Any]:
        """Start a worker if none runs; what it says about its device.

        Raises:
            RuntimeError: it does not start.
        """
        if self.worker is None:
            self.worker = self.start(self.kind, self.info)
            answer = self.worker.ask(None, START_SECONDS)
            if answer is None:
                self.close()
                raise RuntimeError("the measuring process does not start; see its output above")
            self.info = answer["info"]
        assert self.info is not None
        return self.info

    def measure(self, job: Job, most: float) -> list[Row]:
        """Rows of a job, within a limit; those of a job that broke its process say so.

        Args:
            job: what.
            most: seconds.
        """
        self.ready()
        assert self.worker is not None
        limit = min(most, COMPILED_SECONDS if job.compiled else PLAIN_SECONDS)
        if self.kind != "cuda":
            limit = most
        answer = self.worker.ask(asdict(job), limit)
        if answer is None:
            self.close()
            return self._broken(job, limit)
        if not answer["healthy"]:
            self.close()
        rows: list[Row] = answer["rows"]
        return rows

    def _broken(self, job: Job, limit: float) -> list[Row]:
        operation = REGISTRY[job.op]
        case = operation.case(self.kind, job.case)
        rows: list[Row] = []
        for name in job.providers:
            provider = operation.provider(name)
            status = "failed" if provider.ours else "unavailable"
            reason = f"no answer within {limit:.0f} s, or its process died"
            rows += excused(operation, case, provider, status, reason)
        return rows

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.stop()
            self.worker = None
