"""Rows of different requests in one call of the model: dynamic batching with a bounded queue.

All of it runs on the event loop but the calls themselves, which run one after the other in one
thread. Jobs with the same key go together, first come first served: the oldest job's key is run
next, so nothing starves, and a job is never split.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from seqvae.serving.limits import Limits
from seqvae.serving.refusal import Refusal

IDLE_SECONDS = 0.05
"""After so long without a request nobody is expected to come along with the next one."""
OVERLAP = 2.0
"""Calls that take less than so many times what their requests cost the event loop are cut in two."""

Run = Callable[[Any, list[Any]], Sequence[Any]]
"""(key, items) -> one result an item, in order."""


@dataclass(eq=False)
class Job:
    """What one request wants done.

    Attributes:
        key: jobs with equal keys may share a call.
        items: what the call is given, of all its jobs one after the other.
        rows: what it weighs: texts that will be written.
        answer: one result an item.
        arrived: when it was submitted, in seconds of `time.monotonic`.
        started: when its call began.
        ended: when its call was over.
    """

    key: Hashable
    items: Sequence[Any]
    rows: int
    answer: "asyncio.Future[list[Any]]"
    arrived: float = field(default_factory=time.monotonic)
    started: float = 0.0
    ended: float = 0.0


Observe = Callable[[Sequence[Job], float], None]
"""(jobs of one call, seconds it took)."""


class Batcher:
    """Queues jobs and runs them together.

    A batch starts at once when a client is alone. When the last batch, and what waited behind it,
    came from several requests, it waits until as many are there again, at most `window_ms` or,
    where calls are slow, a tenth of a call's time (at most ten windows): clients that ask in turns
    are answered together. Where reading and answering requests takes as long as calls do, it waits
    for half of them: the others are read meanwhile, and neither processor waits for the other.
    """

    def __init__(
        self, run: Run, limits: Limits, observe: Observe = lambda jobs, seconds: None
    ) -> None:
        """Start nothing yet.

        Args:
            run: does the work, in a thread; what it raises is its jobs' answer.
            limits: `max_batch`, `max_queue`, `window_ms`, `timeout`, `overload_status`.
            observe: told of every call when it is over, on the event loop.
        """
        self._run, self._limits, self._observe = run, limits, observe
        self._queue: deque[Job] = deque()
        self._arrival = asyncio.Event()
        self._expected = 1
        self._seconds_per_batch = 0.0
        self._loop_seconds_per_job = 0.0
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._running: list[Job] = []

    @property
    def queued_rows(self) -> int:
        """Rows that wait."""
        return sum(job.rows for job in self._queue)

    @property
    def running_rows(self) -> int:
        """Rows that are being computed."""
        return sum(job.rows for job in self._running)

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self._queue or self._running)

    def start(self) -> None:
        """Begin to serve, on the running event loop."""
        # A daemon: a call that never ends must not keep the process from exiting.
        threading.Thread(target=self._work, name="seqvae-engine", daemon=True).start()
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def close(self) -> None:
        """Stop; what waits or runs is refused with 503."""
        unanswered = [*self._running, *self._queue]
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._calls.put(None)
        self._queue.clear()
        for job in unanswered:
            if not job.answer.done():
                job.answer.set_exception(Refusal(503, "the server stops", reason="REJECTED"))

    async def submit(
        self,
        key: Hashable,
        items: Sequence[Any],
        rows: int,
        timeout: float | None = None,
        *,
        admitted: bool = False,
    ) -> list[Any]:
        """Wait for the results of one job; when cancelled, a job that waits is dropped.

        Args:
            key: jobs with equal keys may share a call.
            items: what the call is given; one result each comes back.
            rows: texts that will be written.
            timeout: seconds, instead of that of the limits where it is less.
            admitted: whether it belongs to a request that found room before; such a request has one
                job at a time, so the queue stays bounded.

        Raises:
            Refusal: 400 more rows than a batch has; 503 or 429 the queue is full; 504 too late.
        """
        limits = self._limits
        if rows > limits.max_batch:
            raise Refusal(
                400, f"the request asks for {rows} rows; at most {limits.max_batch} in one request"
            )
        if not admitted:
            self.check_room(rows)
        seconds = min(limits.timeout, timeout or math.inf)
        job = Job(key, items, rows, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._arrival.set()
        try:
            async with asyncio.timeout(seconds):
                return await job.answer
        except TimeoutError:
            raise Refusal(504, f"no answer within {seconds:g} s", reason="CANCELED") from None
        finally:
            # Left before its turn: timed out, or its client has gone.
            if not job.started and job in self._queue:
                self._queue.remove(job)

    def check_room(self, rows: int = 1) -> None:
        """Refuse what would not find room in the queue.

        Raises:
            Refusal: 503 or 429, with Retry-After.
        """
        if self.queued_rows + rows > self._limits.max_queue:
            raise Refusal(
                self._limits.overload_status,
                "Exceeds maximum queue size",
                headers={"Retry-After": str(self._retry_after())},
                reason="REJECTED",
            )

    async def _serve(self) -> None:
        spent = time.thread_time()
        while True:
            await self._gather()
            batch = self._take()
            self._running = batch
            began = time.monotonic()
            try:
                await self._execute(batch)
            finally:
                self._running = []
            before, spent = spent, time.thread_time()
            mean = (spent - before) / len(batch)
            self._loop_seconds_per_job += 0.2 * (mean - self._loop_seconds_per_job)
            clients = len(batch) + len(self._queue)
            reading = clients * self._loop_seconds_per_job
            overlap = time.monotonic() - began < OVERLAP * reading
            self._expected = math.ceil(clients / 2) if overlap else clients

    async def _gather(self) -> None:
        """Return when a batch should start: there is a job, and waiting would gain nothing."""
        began = time.monotonic()
        while not self._queue:
            self._arrival.clear()
            await self._arrival.wait()
        if time.monotonic() - began > IDLE_SECONDS:
            self._expected = 1
        window = self._limits.window_ms / 1000
        # A tenth of a call's time is a small stake for twice as many rows in it.
        window = max(window, min(10 * window, self._seconds_per_batch / 10))
        end = time.monotonic() + window
        while True:
            enough = len(self._queue) >= self._expected
            if self._queue and (enough or self.queued_rows >= self._limits.max_batch):
                return
            left = end - time.monotonic()
            if self._queue and left <= 0:
                return
            self._arrival.clear()
            try:
                async with asyncio.timeout(left if self._queue else None):
                    await self._arrival.wait()
            except TimeoutError:
                continue

    def _take(self) -> list[Job]:
        """The oldest job, and in their order those with its key while they fit."""
        key, rows, batch = self._queue[0].key, 0, []
        for job in self._queue:
            if job.key == key:
                if rows + job.rows > self._limits.max_batch:
                    break
                batch.append(job)
                rows += job.rows
        for job in batch:
            self._queue.remove(job)
        return batch

    async def _execute(self, jobs: list[Job]) -> None:
        loop = asyncio.get_running_loop()
        call: asyncio.Future[Sequence[Any] | Exception] = loop.create_future()
        key, items = jobs[0].key, [item for job in jobs for item in job.items]
        began = time.monotonic()
        for job in jobs:
            job.started = began

        def work() -> None:
            outcome: Sequence[Any] | Exception
            try:
                outcome = self._run(key, items)
                if len(outcome) != len(items):
                    outcome = RuntimeError(f"{len(outcome)} results for {len(items)} items")
            except Exception as error:  # noqa: BLE001 (whatever it is, it is the requests' answer)
                outcome = error
            # The loop is closed when the process did not wait for this call.
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, call, outcome)

        self._calls.put(work)
        outcome = await call
        ended = time.monotonic()
        for job in jobs:
            job.ended = ended
        seconds = ended - began
        self._seconds_per_batch += 0.2 * (seconds - self._seconds_per_batch)
        self._observe(jobs, seconds)
        if isinstance(outcome, Exception):
            await self._answer_failure(jobs, outcome)
            return
        position = 0
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(list(outcome[position : position + len(job.items)]))
            position += len(job.items)

    async def _answer_failure(self, jobs: list[Job], error: Exception) -> None:
        if len(jobs) == 1:
            if not jobs[0].answer.done():
                jobs[0].answer.set_exception(error)
            return
        # One request's bad text must not fail the others that happened to come with it.
        for job in jobs:
            if not job.answer.done():
                await self._execute([job])

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def _retry_after(self) -> int:
        """Whole seconds until the queue has probably moved on."""
        batches = 1 + self.queued_rows / self._limits.max_batch
        return max(1, min(30, math.ceil(batches * self._seconds_per_batch)))


def _settle(call: "asyncio.Future[Sequence[Any] | Exception]", outcome: Any) -> None:  # noqa: ANN401
    # Cancelled when the server did not wait for this call.
    if not call.done():
        call.set_result(outcome)
