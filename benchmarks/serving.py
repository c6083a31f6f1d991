"""What the server does under load: batching, four times too much, minutes of everything mixed.

    python -m benchmarks.serving BUNDLE [--minutes=10] [--no-record]

The server is a process of its own, `seqvae serve`; this one asks over plain sockets, so that the
client takes as little of the processor as it can. Both share the machine.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from benchmarks.record import ROOT, ledger, write_result

CLIENTS = 32
GAIN = 2.5
OVERLOAD = 4
REFUSAL_SECONDS = 0.05
FLAT = 0.02
ROUNDS, ROUND_SECONDS = 3, 4.0
TEXT = "she has been living here for three years ."
SERVE = "import sys; from seqvae.cli_serve import serve; serve(sys.argv[1:])"


@dataclass
class Answers:
    """Statuses and seconds of requests; those that never came are in `lost`."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0

    def add(self, status: int, seconds: float) -> None:
        """Count one."""
        self.seconds.setdefault(status, []).append(seconds)

    def count(self, status: int) -> int:
        """How many had a status."""
        return len(self.seconds.get(status, []))

    def summary(self) -> dict[str, Any]:
        """Counts and milliseconds by status."""
        found: dict[str, Any] = {"lost": self.lost}
        for status, seconds in sorted(self.seconds.items()):
            ordered = sorted(1e3 * one for one in seconds)
            found[str(status)] = {
                "count": len(ordered),
                "p50_ms": round(ordered[len(ordered) // 2], 1),
                "p99_ms": round(ordered[int(0.99 * len(ordered))], 1),
                "max_ms": round(ordered[-1], 1),
            }
        return found


class Connection:
    """One connection that asks again and again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            OSError, asyncio.IncompleteReadError: the server closed it.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            if length:
                body = await reader.readexactly(int(length[1]))
            else:  # a stream; its connection was asked to close
                body = await reader.read()
            if b"connection: close" in head:
                await self.close()
        except BaseException:
            await self.close()
            raise
        return int(head.split(b" ", 2)[1]), body

    async def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None


def request(path: str, body: object, **headers: str) -> bytes:
    """A POST of JSON, or of bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n{more}\r\n"
    )
    return head.encode() + content


def infer(seed: int, tokens: int = 32) -> bytes:
    """One row with a seed of its own, drawn, so that no two are alike."""

    def column(name: str, datatype: str, value: object) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [1, 1], "data": [value]}

    inputs = [
        column("text", "BYTES", TEXT),
        column("seed", "INT64", seed),
        column("temperature", "FP32", 1.0),
        column("max_length", "INT64", tokens),
    ]
    return request("/v2/models/model/infer", {"inputs": inputs, "outputs": [{"name": "text"}]})


@contextlib.contextmanager
def server(bundle: Path, *arguments: str) -> Iterator[tuple[int, int]]:
    """Port and process id of a server that is ready."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", SERVE, str(bundle), "--port", "0", "--access-log", "off"),
            *("--provider", "cpu", "--threads", "1", *arguments),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "ready after" in line:
                break
        else:
            raise SystemExit(f"the server did not start: {process.wait()}")
        yield int(line.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        with process.stderr:
            rest = process.stderr.read()
        if process.wait(60):
            print(rest, file=sys.stderr)


async def closed_loop(port: int, clients: int, seconds: float) -> Answers:
    """`clients` that each ask again as soon as they are answered."""
    found, seeds, end = Answers(), itertools.count(), time.monotonic() + seconds

    async def client() -> None:
        connection = Connection(port)
        while time.monotonic() < end:
            began = time.monotonic()
            status, _ = await connection.ask(infer(next(seeds)))
            found.add(status, time.monotonic() - began)
        await connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


async def open_loop(port: int, rate: float, seconds: float) -> Answers:
    """`rate` requests a second at random moments, whether or not earlier ones are answered."""
    found, idle, tasks = Answers(), [Connection(port) for _ in range(400)], set()
    draw, seeds = random.Random(0), itertools.count()

    async def one(connection: Connection) -> None:
        began = time.monotonic()
        try:
            status, _ = await asyncio.wait_for(connection.ask(infer(next(seeds))), 60)
            found.add(status, time.monotonic() - began)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            found.lost += 1
        idle.append(connection)

    due = end = time.monotonic()
    end += seconds
    while due < end:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if idle:  # else as many wait as a server has connections for: not sent, not counted
            task = asyncio.ensure_future(one(idle.pop()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)
    for connection in idle:
        await connection.close()
    return found


async def mixed(port: int, pid: int, seconds: float) -> tuple[Answers, list[float]]:
    """Every address, mistakes and clients that leave, and the server's megabytes over time."""
    found, memory, end = Answers(), [], time.monotonic() + seconds
    draw = random.Random(0)
    generate = "/v2/models/model/generate"
    kinds = [
        lambda: infer(draw.randrange(1 << 40), draw.choice((4, 16, 64))),
        lambda: request("/v1/paraphrase", {"texts": [TEXT], "n": 3, "seed": draw.randrange(99)}),
        lambda: request("/v1/score", {"texts": [TEXT, "a dog ."], "samples": 4}),
        lambda: request("/v1/interpolate", {"a": TEXT, "b": "a dog .", "steps": 4}),
        lambda: request("/v1/sample", {"n": 4, "seed": draw.randrange(99), "max_length": 32}),
        lambda: request(generate, {"text": TEXT, "seed": draw.randrange(99), "temperature": 1}),
        lambda: request(f"{generate}_stream", {"text": TEXT}, Connection="close"),
        lambda: request("/v2/models/model/infer", draw.randbytes(draw.randrange(2000))),
        lambda: request(f"/v2/models/{draw.randrange(1 << 40)}/infer", {}),
        lambda: request("/v1/score", {"texts": ["x" * draw.randrange(30_000)]}),
    ]

    async def client() -> None:
        connection = Connection(port)
        while time.monotonic() < end:
            began = time.monotonic()
            # One of twenty loses patience.
            patience = draw.random() * 0.1 if draw.random() < 0.05 else 60
            try:
                asked = connection.ask(draw.choice(kinds)())
                status, _ = await asyncio.wait_for(asked, patience)
                found.add(status, time.monotonic() - began)
            except TimeoutError:
                found.lost += patience == 60
            except (OSError, asyncio.IncompleteReadError):
                found.lost += 1
        await connection.close()

    async def watch() -> None:
        while time.monotonic() < end:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
            await asyncio.sleep(min(1.0, seconds / 40))

    await asyncio.gather(watch(), *(client() for _ in range(8)))
    return found, memory


def growth(memory: list[float]) -> float:
    """How much the last quarter lies above the second: the first is still warming up."""
    quarter = max(1, len(memory) // 4)
    early = statistics.median(memory[quarter : 2 * quarter] or memory)
    return statistics.median(memory[-quarter:]) / early - 1


def main(bundle: tyro.conf.Positional[Path], minutes: float = 10.0, record: bool = True) -> None:
    """Put a server under load.

    Args:
        bundle: with a latent, its tokenizer inside its graphs.
        minutes: of mixed load.
        record: write benchmarks/results/serving.json and the ledger.
    """
    rates: dict[int, list[float]] = {CLIENTS: [], 1: []}
    with server(bundle) as (port, _), server(bundle, "--max-batch", "1") as (alone, _):
        asyncio.run(closed_loop(port, CLIENTS, 1))
        asyncio.run(closed_loop(alone, CLIENTS, 1))
        for _ in range(ROUNDS):  # in turns, so that a busy moment hits both
            for batch, where in ((CLIENTS, port), (1, alone)):
                answers = asyncio.run(closed_loop(where, CLIENTS, ROUND_SECONDS))
                rates[batch].append(answers.count(200) / ROUND_SECONDS)
    rate = {batch: statistics.median(found) for batch, found in rates.items()}
    gain = rate[CLIENTS] / rate[1]
    print(f"{rate[CLIENTS]:.0f} requests a second batched, {rate[1]:.0f} one by one: {gain:.2f} x")
    with server(bundle) as (port, _):
        overload = asyncio.run(open_loop(port, OVERLOAD * rate[CLIENTS], 3 * ROUND_SECONDS))
    print("overload", json.dumps(overload.summary()))
    with server(bundle) as (port, pid):
        soak, memory = asyncio.run(mixed(port, pid, 60 * minutes))
    grown = growth(memory)
    print("mixed", json.dumps(soak.summary()), f"memory {grown:+.2%}")
    if not record:
        return
    result = {
        "requests_per_second": rates,
        "overload": {"rate": OVERLOAD * rate[CLIENTS], **overload.summary()},
        "mixed": {"minutes": minutes, **soak.summary(), "megabytes": [round(m, 1) for m in memory]},
    }
    path = write_result("serving", result)
    refused = sorted(overload.seconds.get(503, [0.0]))
    slowest = refused[-1]
    statuses = set(overload.seconds)
    faults = sum(soak.count(status) for status in soak.seconds if status in (500, 504))
    rows = [
        {
            "what": f"server: requests a second at {CLIENTS} clients, batched against one by one",
            "target": f">= {GAIN} x",
            "figure": f"{gain:.2f} x ({rate[CLIENTS]:.0f} against {rate[1]:.0f})",
            "met": gain >= GAIN,
        },
        {
            "what": f"server: open loop at {OVERLOAD} x what it can",
            "target": f"every request answered, refusals within {1e3 * REFUSAL_SECONDS:.0f} ms",
            "figure": f"{overload.count(200)} answered, {overload.count(503)} refused, "
            f"{overload.lost} lost; refusals p50 {1e3 * refused[len(refused) // 2]:.1f} ms, "
            f"slowest {1e3 * slowest:.1f} ms",
            "met": overload.lost == 0 and statuses <= {200, 503} and slowest <= REFUSAL_SECONDS,
        },
        {
            "what": f"server: {minutes:g} minutes of mixed load, mistakes and clients that leave",
            "target": f"memory flat (last quarter within {FLAT:.0%} of the second), no fault",
            "figure": f"{grown:+.2%}, {memory[-1]:.0f} MB; {faults} faults, {soak.lost} lost",
            "met": grown <= FLAT and not faults and not soak.lost,
        },
    ]
    ledger("C", [{"bar": "3", "result_file": path, **row} for row in rows])


if __name__ == "__main__":
    tyro.cli(main)
