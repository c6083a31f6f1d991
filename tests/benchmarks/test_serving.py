"""The load that is put on a server, against one that echoes."""

import asyncio
import os

import pytest

from benchmarks.load import Answers, closed_loop, mixed, open_loop
from benchmarks.serving import gain_row, growth, overload_row, soak_row
from seqvae.serving.limits import Limits
from tests.serving.stub import StubEngine, live


def test_a_closed_loop_counts_every_answer() -> None:
    with live(StubEngine(seconds=0.005)) as server:
        found = asyncio.run(closed_loop(server.port, 4, 0.3))
        assert found.lost == 0 and set(found.seconds) == {200}
        assert found.count(200) == sum(server.engine.calls)


def test_an_open_loop_counts_refusals() -> None:
    with live(StubEngine(seconds=0.1), Limits(max_batch=2, max_queue=2)) as server:
        found = asyncio.run(open_loop(server.port, 200, 0.5))
    assert found.lost == 0
    assert found.count(200) and found.count(503)
    assert found.summary()["503"]["count"] == found.count(503)


def test_mixed_load_finds_no_fault() -> None:
    with live(StubEngine(seconds=0.001)) as server:
        found, memory = asyncio.run(mixed(server.port, os.getpid(), 1.0))
    assert found.lost == 0 and len(memory) > 10
    assert {200, 400, 404} <= set(found.seconds) <= {200, 400, 404, 503}


def test_growth_leaves_out_the_beginning() -> None:
    assert growth([10, 50, 100, 100, 100, 100, 100, 100]) == 0
    assert abs(growth([100, 100, 100, 100, 100, 100, 110, 110]) - 0.1) < 1e-9


def answers_of(seconds: dict[int, list[float]], **more: int) -> Answers:
    return Answers(seconds, **more)


def test_the_bar_of_batching() -> None:
    rates = {
        "batched": {1: [40.0], 8: [100.0], 32: [150.0, 160.0, 90.0]},
        "one by one": {1: [41.0], 8: [50.0], 32: [50.0, 50.0, 51.0]},
    }
    row = gain_row(rates)
    assert row["met"] and "3.00 x" in row["figure"] and "8: 100 against 50" in row["figure"]
    rates["one by one"][32] = [61.0]
    assert not gain_row(rates)["met"]


def test_the_bar_of_overload() -> None:
    fast = {200: [0.5] * 10, 503: [0.01] * 30}
    assert overload_row(answers_of(fast), 1, 10)["met"]
    assert not overload_row(answers_of(fast, lost=1), 1, 10)["met"]
    assert not overload_row(answers_of({**fast, 504: [9.0]}), 1, 10)["met"]
    assert not overload_row(answers_of({200: [0.5] * 40}), 1, 10)["met"]
    assert not overload_row(answers_of(fast), 2, 10)["met"]  # it was not four times as much
    slow = answers_of({200: [0.5] * 10, 503: [0.01] * 30 + [0.2]})
    assert not overload_row(slow, 1, 10)["met"] and slow.quantile(503, 1.0) == 0.2


def test_the_bar_of_mixed_load() -> None:
    flat = [100.0] * 8
    assert soak_row(answers_of({200: [0.1]}), flat, 1)["met"]
    assert not soak_row(answers_of({200: [0.1], 500: [0.1]}), flat, 1)["met"]
    assert not soak_row(answers_of({200: [0.1]}), [*flat, 110.0, 110.0, 110.0], 1)["met"]


def test_an_open_loop_says_what_it_could_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.load.CONNECTIONS", 1)
    with live(StubEngine(seconds=0.1)) as server:
        found = asyncio.run(open_loop(server.port, 100, 0.3))
    assert found.unsent and found.count(200)
