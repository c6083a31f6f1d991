"""Clients of a server, over plain sockets so that they take little of the processor they share."""

import asyncio
import itertools
import json
import os
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TEXT = "she has been living here for three years ."
CONNECTIONS = 400
"""Of an open loop: requests that find none free are not sent, and counted as unsent."""


@dataclass
class Answers:
    """Statuses and seconds of requests.

    Attributes:
        seconds: of each request, by status.
        lost: requests whose answer never came.
        unsent: requests for which no connection was free.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0
    unsent: int = 0

    def add(self, status: int, seconds: float) -> None:
        """Count one."""
        self.seconds.setdefault(status, []).append(seconds)

    def count(self, status: int) -> int:
        """How many had a status."""
        return len(self.seconds.get(status, []))

    def quantile(self, status: int, share: float) -> float:
        """Seconds within which a share of the answers with a status came; 0 when there are none."""
        ordered = sorted(self.seconds.get(status, [0.0]))
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def summary(self) -> dict[str, Any]:
        """Counts and milliseconds by status."""
        found: dict[str, Any] = {"lost": self.lost, "unsent": self.unsent}
        for status in sorted(self.seconds):
            times = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
            found[str(status)] = {
                "count": self.count(status),
                **{name: round(1e3 * self.quantile(status, q), 1) for name, q in times.items()},
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
                self.close()
        except BaseException:
            self.close()
            raise
        return int(head.split(b" ", 2)[1]), body

    def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def request(path: str, body: object, **headers: str) -> bytes:
    """A POST of JSON, or of bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n{more}\r\n"
    )
    return head.encode() + content


def infer(seed: int, tokens: int = 32, rows: int = 1) -> bytes:
    """Rows with seeds of their own, drawn, so that no two are alike.

    Args:
        seed: no other request has it.
        tokens: at most, of a row.
        rows: of the request.
    """

    def column(name: str, datatype: str, values: list[object]) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [rows, 1], "data": values}

    inputs = [
        column("text", "BYTES", [TEXT] * rows),
        column("seed", "INT64", [seed * rows + row for row in range(rows)]),
        column("temperature", "FP32", [1.0] * rows),
        column("max_length", "INT64", [tokens] * rows),
    ]
    return request("/v2/models/model/infer", {"inputs": inputs, "outputs": [{"name": "text"}]})


async def closed_loop(port: int, clients: int, seconds: float, rows: int = 1) -> Answers:
    """`clients` that each ask for `rows` again as soon as they are answered."""
    found, seeds, end = Answers(), itertools.count(), time.monotonic() + seconds

    async def client() -> None:
        connection = Connection(port)
        while time.monotonic() < end:
            began = time.monotonic()
            status, _ = await connection.ask(infer(next(seeds), rows=rows))
            found.add(status, time.monotonic() - began)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


async def open_loop(port: int, rate: float, seconds: float, rows: int = 1) -> Answers:
    """Requests at random moments, whether or not earlier ones are answered.

    Args:
        port: of the server.
        rate: requests a second.
        seconds: to send them for.
        rows: of each.
    """
    found, idle, tasks = Answers(), [Connection(port) for _ in range(CONNECTIONS)], set()
    draw, seeds = random.Random(0), itertools.count()

    async def one(connection: Connection) -> None:
        began = time.monotonic()
        try:
            status, _ = await asyncio.wait_for(connection.ask(infer(next(seeds), rows=rows)), 60)
            found.add(status, time.monotonic() - began)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            found.lost += 1
        idle.append(connection)

    due = end = time.monotonic()
    end += seconds
    while due < end:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not idle:
            found.unsent += 1
        else:
            task = asyncio.ensure_future(one(idle.pop()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)
    for connection in idle:
        connection.close()
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
        connection.close()

    async def watch() -> None:
        while time.monotonic() < end:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
            await asyncio.sleep(min(1.0, seconds / 40))

    await asyncio.gather(watch(), *(client() for _ in range(8)))
    return found, memory
