"""The load that is put on a server, against one that echoes."""

import asyncio
import os

from benchmarks.serving import closed_loop, growth, mixed, open_loop
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
