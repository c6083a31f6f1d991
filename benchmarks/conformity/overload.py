"""More than a queue holds, all at once: what is refused, and how."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.conformity.tritonserver import running
from benchmarks.load import Connection, request
from seqvae.serving.limits import Limits
from tests.serving.client import INFER, text
from tests.serving.stub import StubEngine, live

ROWS, QUEUE, SECONDS, REQUESTS = 1, 4, 0.3, 14


def compare(folder: Path) -> dict[str, Any]:
    """Statuses and words of both servers.

    Args:
        folder: of `benchmarks.conformity.tritonserver.install`.
    """
    limits = Limits(max_batch=ROWS, max_queue=QUEUE, window_ms=0)
    with live(StubEngine(seconds=SECONDS), limits) as ours:
        mine = asyncio.run(_crowd(ours.port))
    with running(folder, max_batch=ROWS, max_queue=QUEUE, seconds=SECONDS) as ports:
        theirs = asyncio.run(_crowd(ports.http))
    alike = set(mine["statuses"]) == set(theirs["statuses"]) == {"200", "503"}
    return {"alike": alike and mine["words"] == theirs["words"], "ours": mine, "triton": theirs}


async def _crowd(port: int) -> dict[str, Any]:
    asked = request(INFER, {"inputs": [text(["a"])]}, Connection="close")
    answers = await asyncio.gather(*(Connection(port).ask(asked) for _ in range(REQUESTS)))
    refused = {json.loads(body)["error"] for status, body in answers if status != 200}
    return {
        "statuses": dict(Counter(str(status) for status, _ in answers)),
        # Triton begins with the request's id, ours too where there is one.
        "words": sorted({words.rpartition("] ")[2].rstrip(".") for words in refused}),
    }
