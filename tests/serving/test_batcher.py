"""Rows of different requests in one call: nothing is mixed up, lost, or waits for ever."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.serving.batcher import Batcher, Job, Run
from seqvae.serving.limits import Limits
from seqvae.serving.refusal import Refusal


class Calls:
    """A model that echoes and remembers its calls."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.made: list[tuple[Any, list[Any]]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, key: Any, items: list[Any]) -> Sequence[Any]:  # noqa: ANN401
        self.made.append((key, list(items)))
        assert self.gate.wait(5)
        time.sleep(self.seconds)
        if "boom" in items:
            raise ValueError("boom")
        return [(key, item) for item in items]


def with_batcher(
    run: Run, work: Callable[[Batcher], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def main() -> None:
        batcher = Batcher(run, limits or Limits())
        batcher.start()
        try:
            await work(batcher)
        finally:
            await batcher.close()

    asyncio.run(main())


async def started(calls: Calls, number: int) -> None:
    while len(calls.made) < number:
        await asyncio.sleep(0.001)


JOBS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.floats(0, 0.004)),
    min_size=1,
    max_size=40,
)


@given(JOBS)
def test_every_job_gets_its_own_results(jobs: list[tuple[str, int, float]]) -> None:
    calls = Calls()

    async def work(batcher: Batcher) -> None:
        async def one(number: int, key: str, size: int, pause: float) -> None:
            await asyncio.sleep(pause)
            items = [(number, k) for k in range(size)]
            assert await batcher.submit((key,), items, size) == [((key,), i) for i in items]

        await asyncio.gather(*(one(n, *job) for n, job in enumerate(jobs)))

    with_batcher(calls, work, Limits(max_batch=5, max_queue=1000))
    assert sum(len(items) for _, items in calls.made) == sum(size for _, size, _ in jobs)
    assert all(len(items) <= 5 for _, items in calls.made)


def test_a_lone_client_never_waits() -> None:
    calls = Calls()

    async def work(batcher: Batcher) -> None:
        began = time.monotonic()
        for number in range(5):
            await batcher.submit("key", [number], 1)
        assert time.monotonic() - began < 0.5

    with_batcher(calls, work, Limits(window_ms=1000))


def test_clients_that_ask_in_turns_are_answered_together() -> None:
    calls = Calls(seconds=0.002)

    async def work(batcher: Batcher) -> None:
        async def client(number: int) -> None:
            for turn in range(10):
                await batcher.submit("key", [(number, turn)], 1)

        await asyncio.gather(*(client(number) for number in range(8)))

    # The first call has whoever came first; from then on all eight are waited for.
    with_batcher(calls, work, Limits(max_batch=8, window_ms=500))
    assert len(calls.made) <= 13


def test_a_window_ends_when_nobody_else_comes() -> None:
    calls = Calls()

    async def work(batcher: Batcher) -> None:
        await asyncio.gather(batcher.submit("key", [1], 1), batcher.submit("key", [2], 1))
        began = time.monotonic()
        await batcher.submit("key", [3], 1)  # two were there before
        assert 0.01 < time.monotonic() - began < 1
        began = time.monotonic()
        await batcher.submit("key", [4], 1)  # one was
        assert time.monotonic() - began < 0.015

    with_batcher(calls, work, Limits(window_ms=20))


def test_more_rows_than_a_batch_are_refused_at_once() -> None:
    async def work(batcher: Batcher) -> None:
        with pytest.raises(Refusal, match="5 rows; at most 4") as caught:
            await batcher.submit("key", range(5), 5)
        assert caught.value.status == 400

    with_batcher(Calls(), work, Limits(max_batch=4))


@pytest.mark.parametrize("status", [503, 429])
def test_a_full_queue_refuses_at_once_and_says_when_to_come_again(status: Any) -> None:  # noqa: ANN401
    calls = Calls()
    calls.gate.clear()

    async def work(batcher: Batcher) -> None:
        running = asyncio.ensure_future(batcher.submit("key", [0], 1))
        await started(calls, 1)
        waiting = [asyncio.ensure_future(batcher.submit("key", [n], 2)) for n in (1, 2)]
        await asyncio.sleep(0)
        began = time.monotonic()
        with pytest.raises(Refusal, match="maximum queue size") as caught:
            await batcher.submit("key", [3], 1)
        assert time.monotonic() - began < 0.05
        assert caught.value.status == status
        assert 1 <= int(caught.value.headers["Retry-After"]) <= 30
        calls.gate.set()
        await asyncio.gather(running, *waiting)

    with_batcher(calls, work, Limits(max_batch=4, max_queue=4, overload_status=status))


def test_a_job_that_is_cancelled_before_its_turn_is_dropped() -> None:
    calls = Calls()
    calls.gate.clear()

    async def work(batcher: Batcher) -> None:
        running = asyncio.ensure_future(batcher.submit("key", ["first"], 1))
        await started(calls, 1)
        leaving = asyncio.ensure_future(batcher.submit("key", ["leaves"], 1))
        staying = asyncio.ensure_future(batcher.submit("key", ["stays"], 1))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert batcher.queued_rows == 1
        calls.gate.set()
        assert await staying == [("key", "stays")]
        await running

    with_batcher(calls, work)
    assert [item for _, items in calls.made for item in items] == ["first", "stays"]


def test_a_job_that_waits_too_long_is_answered_504_and_dropped() -> None:
    calls = Calls()
    calls.gate.clear()

    async def work(batcher: Batcher) -> None:
        running = asyncio.ensure_future(batcher.submit("key", ["first"], 1))
        await started(calls, 1)
        with pytest.raises(Refusal, match=r"no answer within 0\.02 s") as caught:
            await batcher.submit("key", ["late"], 1, timeout=0.02)
        assert caught.value.status == 504
        assert not batcher.queued_rows
        calls.gate.set()
        await running

    with_batcher(calls, work)
    assert len(calls.made) == 1


def test_a_running_job_that_times_out_does_not_hold_the_next_ones() -> None:
    calls = Calls(seconds=0.1)

    async def work(batcher: Batcher) -> None:
        with pytest.raises(Refusal):
            await batcher.submit("key", [1], 1, timeout=0.02)
        assert batcher.running_rows == 1
        assert await batcher.submit("key", [2], 1) == [("key", 2)]

    with_batcher(calls, work)


def test_one_request_that_fails_fails_alone() -> None:
    calls = Calls()
    calls.gate.clear()

    async def work(batcher: Batcher) -> None:
        running = asyncio.ensure_future(batcher.submit("key", [0], 1))
        await started(calls, 1)
        others = [asyncio.ensure_future(batcher.submit("key", [n], 1)) for n in (1, "boom", 2)]
        await asyncio.sleep(0)
        calls.gate.set()
        good, bad, also = await asyncio.gather(*others, return_exceptions=True)
        assert good == [("key", 1)] and also == [("key", 2)]
        assert isinstance(bad, ValueError)
        await running

    with_batcher(calls, work)


def test_a_result_too_few_is_an_error_and_not_a_mix_up() -> None:
    async def work(batcher: Batcher) -> None:
        with pytest.raises(RuntimeError, match="1 results for 2 items"):
            await batcher.submit("key", [1, 2], 2)

    with_batcher(lambda key, items: items[:1], work)


def test_no_key_starves_another() -> None:
    calls = Calls(seconds=0.001)

    async def work(batcher: Batcher) -> None:
        done = asyncio.Event()

        async def flood() -> None:
            while not done.is_set():
                await batcher.submit("many", [0], 1)

        floods = [asyncio.ensure_future(flood()) for _ in range(8)]
        await asyncio.sleep(0.02)
        await asyncio.wait_for(batcher.submit("rare", [0], 1), 1)
        done.set()
        await asyncio.gather(*floods)

    with_batcher(calls, work)


def test_a_large_job_is_not_overtaken_for_ever_by_small_ones_of_its_key() -> None:
    calls = Calls(seconds=0.001)

    async def work(batcher: Batcher) -> None:
        done = asyncio.Event()

        async def flood() -> None:
            while not done.is_set():
                await batcher.submit("key", [0], 1)

        floods = [asyncio.ensure_future(flood()) for _ in range(8)]
        await asyncio.sleep(0.02)
        await asyncio.wait_for(batcher.submit("key", range(4), 4), 1)
        done.set()
        await asyncio.gather(*floods)

    with_batcher(calls, work, Limits(max_batch=4))


def test_what_waits_when_the_server_stops_is_refused() -> None:
    calls = Calls()
    calls.gate.clear()

    async def main() -> None:
        batcher = Batcher(calls, Limits())
        batcher.start()
        running = asyncio.ensure_future(batcher.submit("key", [0], 1))
        await started(calls, 1)
        waiting = asyncio.ensure_future(batcher.submit("key", [1], 1))
        await asyncio.sleep(0)
        await batcher.close()
        with pytest.raises(Refusal, match="stops"):
            await waiting
        with pytest.raises(Refusal, match="stops"):
            await running
        calls.gate.set()

    asyncio.run(main())


def test_calls_are_told_of() -> None:
    told: list[tuple[list[int], float]] = []

    def observe(jobs: Sequence[Job], seconds: float) -> None:
        told.append(([job.rows for job in jobs], seconds))

    async def main() -> None:
        batcher = Batcher(Calls(), Limits(), observe)
        batcher.start()
        await batcher.submit("key", [1, 2], 2)
        await batcher.close()

    asyncio.run(main())
    assert len(told) == 1 and told[0][0] == [2] and told[0][1] >= 0
