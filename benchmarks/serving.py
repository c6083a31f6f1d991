"""What the server does under load: batching, four times too much, minutes of everything mixed.

    python -m benchmarks.serving BUNDLE [--minutes 10] [--seconds 4] [--no-record]

The server is a process of its own, `seqvae serve`; this one is its clients (benchmarks/load.py),
whose answers are checked first. Both share the machine.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro

from benchmarks.load import TEXT, Answers, Connection, closed_loop, infer, mixed, open_loop
from benchmarks.record import ROOT, ledger, write_result

CLIENTS = (1, 8, 32)
GAIN = 2.5
OVERLOAD = 4
REFUSAL_SECONDS = 0.05
FLAT = 0.02
ROUNDS = 3
CHECKED = 64
# Of each request when it is too much: these clients share the machine, and few large requests
# leave the processor to the server.
OVERLOAD_ROWS = 8
SERVE = "import sys; from seqvae.cli_serve import serve; serve(sys.argv[1:])"


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


def check_answers(bundle: Path, port: int) -> None:
    """Compare answers to many clients at once with the engine's, row by row alone.

    Raises:
        SystemExit: one differs.
    """
    from seqvae.serving.engine import Engine
    from seqvae.serving.options import Options, Row

    async def all_at_once() -> list[tuple[int, bytes]]:
        connections = [Connection(port) for _ in range(CHECKED)]
        asked = (one.ask(infer(seed)) for seed, one in enumerate(connections))
        answers = await asyncio.gather(*asked)
        for one in connections:
            one.close()
        return answers

    found = [
        json.loads(body)["outputs"][0]["data"] if status == 200 else [f"status {status}"]
        for status, body in asyncio.run(all_at_once())
    ]
    with Engine(bundle, provider="cpu", threads=1) as engine:
        for seed, texts in enumerate(found):
            options = Options(seed=seed, temperature=1.0, max_length=32)
            (written,) = engine.generate([Row(TEXT, options)])
            if texts != [written.text]:
                raise SystemExit(
                    f"seed {seed}: the server wrote {texts}, the engine {written.text!r}"
                )


def throughput(ports: Mapping[str, int], seconds: float) -> dict[str, dict[int, list[float]]]:
    """Requests a second of servers at each number of clients, in turns: a busy moment hits all."""
    rates: dict[str, dict[int, list[float]]] = {
        name: {clients: [] for clients in CLIENTS} for name in ports
    }
    for port in ports.values():
        asyncio.run(closed_loop(port, max(CLIENTS), 1))
    for clients in CLIENTS:
        for _ in range(ROUNDS):
            for name, port in ports.items():
                answers = asyncio.run(closed_loop(port, clients, seconds))
                rates[name][clients].append(answers.count(200) / seconds)
    return rates


def growth(memory: list[float]) -> float:
    """How much the last quarter lies above the second: the first is still warming up."""
    quarter = max(1, len(memory) // 4)
    early = statistics.median(memory[quarter : 2 * quarter] or memory)
    return statistics.median(memory[-quarter:]) / early - 1


def gain_row(rates: Mapping[str, Mapping[int, list[float]]]) -> dict[str, Any]:
    """The ledger's row of batching."""
    most = max(CLIENTS)
    by = {
        name: {clients: statistics.median(found) for clients, found in rate.items()}
        for name, rate in rates.items()
    }
    gain = by["batched"][most] / by["one by one"][most]
    each = "; ".join(
        f"{clients}: {by['batched'][clients]:.0f} against {by['one by one'][clients]:.0f}"
        for clients in CLIENTS
    )
    return {
        "what": f"server: requests a second at {most} clients, batched against one by one",
        "target": f">= {GAIN} x",
        "figure": f"{gain:.2f} x (requests a second by clients: {each})",
        "met": gain >= GAIN,
    }


def overload_row(answers: Answers, sent_seconds: float, rate: float) -> dict[str, Any]:
    """The ledger's row of an open loop.

    Args:
        answers: of the loop.
        sent_seconds: how long it sent.
        rate: requests a second that the server can answer.
    """
    sent = sum(map(len, answers.seconds.values())) + answers.lost
    times = sent / sent_seconds / rate
    slow = answers.quantile(503, 0.99)
    return {
        "what": f"server: open loop at {OVERLOAD} x what it can, {OVERLOAD_ROWS} rows a request",
        "target": "every request answered, none hung, 99 of 100 refusals within "
        f"{1e3 * REFUSAL_SECONDS:.0f} ms",
        "figure": f"{times:.1f} x: {answers.count(200)} answered, {answers.count(503)} refused, "
        f"{answers.lost} lost; refusals p50 {1e3 * answers.quantile(503, 0.5):.1f} ms, "
        f"p99 {1e3 * slow:.1f} ms, slowest {1e3 * answers.quantile(503, 1.0):.1f} ms",
        "met": not answers.lost
        and set(answers.seconds) == {200, 503}
        and slow <= REFUSAL_SECONDS
        and times >= 0.9 * OVERLOAD,
    }


def soak_row(answers: Answers, memory: list[float], minutes: float) -> dict[str, Any]:
    """The ledger's row of mixed load.

    Args:
        answers: of the loop.
        memory: megabytes over time.
        minutes: that it took.
    """
    grown = growth(memory)
    faults = sum(answers.count(status) for status in (500, 504))
    return {
        "what": f"server: {minutes:g} minutes of mixed load, mistakes and clients that leave",
        "target": f"memory flat (last quarter within {FLAT:.0%} of the second), no fault",
        "figure": f"{grown:+.2%}, {memory[-1]:.0f} MB; {faults} faults, {answers.lost} lost",
        "met": grown <= FLAT and not faults and not answers.lost,
    }


def main(
    bundle: tyro.conf.Positional[Path],
    minutes: float = 1.0,
    seconds: float = 4.0,
    record: bool = True,
) -> None:
    """Put a server under load.

    Args:
        bundle: with a latent, its tokenizer inside its graphs.
        minutes: of mixed load; the bar is for 10.
        seconds: of each round of the others.
        record: write benchmarks/results/serving.json and the ledger.
    """
    began = time.monotonic()
    with server(bundle) as (port, _):
        load_seconds = time.monotonic() - began
        with server(bundle, "--max-batch", "1") as (alone, _):
            for one in (port, alone):
                check_answers(bundle, one)
            print(
                f"ready after {load_seconds:.2f} s; {CHECKED} answers are the engine's, batched and not"
            )
            rates = throughput({"batched": port, "one by one": alone}, seconds)
    rows = [gain_row(rates)]
    print(rows[-1]["figure"])
    with server(bundle) as (port, _):
        asyncio.run(closed_loop(port, 8, 1, OVERLOAD_ROWS))
        rate = asyncio.run(closed_loop(port, 8, seconds, OVERLOAD_ROWS)).count(200) / seconds
        overload = asyncio.run(open_loop(port, OVERLOAD * rate, 3 * seconds, OVERLOAD_ROWS))
    rows.append(overload_row(overload, 3 * seconds, rate))
    print(rows[-1]["figure"])
    with server(bundle) as (port, pid):
        soak, memory = asyncio.run(mixed(port, pid, 60 * minutes))
    rows.append(soak_row(soak, memory, minutes))
    print(rows[-1]["figure"], json.dumps(soak.summary()))
    if not record:
        return
    result = {
        "load_seconds": load_seconds,
        "answers_checked": 2 * CHECKED,
        "requests_per_second": rates,
        "overload": {"rows": OVERLOAD_ROWS, "rate": OVERLOAD * rate, **overload.summary()},
        "mixed": {"minutes": minutes, **soak.summary(), "megabytes": [round(m, 1) for m in memory]},
    }
    path = write_result("serving", result)
    ledger("C", [{"bar": "3", "result_file": path, **row} for row in rows])


if __name__ == "__main__":
    tyro.cli(main)
