"""What the engine costs beside the graphs that it runs: to load, for one row, and for a stream.

    python -m benchmarks.engine BUNDLE [--variant=cpu-fp32] [--no-record]

Each load is a process of its own; the others take turns in one, and the least of each is compared.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.record import ROOT, ledger, write_result
from seqvae.serving import Engine, Options, Row
from seqvae.serving.options import feeds_of

LOAD_SECONDS = 0.5
PROCESSES, REPEATS = 5, 30
TEXT = "she has been living here for three years ."
# The imports are those of any program that uses onnxruntime; the rest is ours to answer for.
LOAD = """
import json, sys, time
bundle, variant = sys.argv[1:]
began = time.perf_counter()
import numpy, onnxruntime
imported = time.perf_counter()
from seqvae.serving import Engine, Row
ours = time.perf_counter()
engine = Engine(bundle, variant=variant, provider="cpu", threads=1)
opened = time.perf_counter()
engine._core.graphs.inputs("model")
loaded = time.perf_counter()
engine.generate([Row("a")])
first = time.perf_counter()
assert "torch" not in sys.modules and "onnx" not in sys.modules
print(json.dumps({"import_onnxruntime": imported - began, "import_engine": ours - imported,
    "open_and_verify": opened - ours, "open_model": loaded - opened, "first_text": first - loaded}))
"""


def load_seconds(bundle: Path, variant: str) -> dict[str, float]:
    """Seconds of each stage of a load in fresh processes, the least of each."""
    runs: list[dict[str, float]] = []
    for _ in range(PROCESSES):
        command = [sys.executable, "-c", LOAD, str(bundle), variant]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    return {stage: min(run[stage] for run in runs) for stage in runs[0]}


def milliseconds(arms: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least time of each, taken in turns so that a busy moment hits all alike."""
    for call in arms.values():
        call()
    best = dict.fromkeys(arms, float("inf"))
    for _ in range(REPEATS):
        for name, call in arms.items():
            began = time.perf_counter()
            call()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - began))
    return best


def overhead(engine: Engine) -> dict[str, float]:
    """Milliseconds for one row: onnxruntime alone, the engine, and the same text streamed."""
    options = Options(max_length=32)
    session: Any = engine._sessions.session("model")
    feeds = feeds_of([options])
    feeds["text"] = np.array([TEXT], dtype=object)
    outputs = ["written", "ids", "log_prob", "complete"]
    row = Row(TEXT, options)
    return milliseconds(
        {
            "session": lambda: session.run(outputs, feeds),
            "engine": lambda: engine.generate([row]),
            "stream": lambda: list(engine.stream(row)),
        }
    )


def main(
    bundle: tyro.conf.Positional[Path], variant: str = "cpu-fp32", record: bool = True
) -> None:
    """Time a bundle.

    Args:
        bundle: the folder; its tokenizer must be inside its graphs.
        variant: one of its variants.
        record: write benchmarks/results/engine.json and the ledger.
    """
    loads = load_seconds(bundle, variant)
    engine = Engine(bundle, variant=variant, provider="cpu", threads=1)
    times = overhead(engine)
    size = engine.bundle.variant(variant).bytes
    found = {"variant": variant, "bytes": size, "load_seconds": loads, "milliseconds": times}
    print(json.dumps(found, indent=2))
    if not record:
        return
    path = write_result("engine", found)
    seconds = sum(v for stage, v in loads.items() if stage in ("open_and_verify", "open_model"))
    row = {
        "bar": "2",
        "what": f"engine: seconds to verify and load {variant} ({size / 1e6:.1f} MB of graphs)",
        "target": f"<= {LOAD_SECONDS}",
        "figure": round(seconds, 3),
        "met": seconds <= LOAD_SECONDS,
        "result_file": path,
    }
    ledger("C", [row])


if __name__ == "__main__":
    tyro.cli(main)
