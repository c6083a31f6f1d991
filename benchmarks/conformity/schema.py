"""Requests that schemathesis generates from the API document, put to a server.

    python -m benchmarks.conformity.schema [--bundle BUNDLE] [--examples 50]

Every answer must be one that the document names: status, type, body, headers, and no fault; what
the document forbids must be refused, and what it allows taken.
"""

import contextlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

from benchmarks.record import ledger, write_result
from benchmarks.serving import server
from seqvae.serving.limits import Limits
from tests.serving.client import ask
from tests.serving.stub import live

# What a schema cannot say: texts times candidates, how many pieces a text has, tensors that fit their
# shape, names of options.
FREER = r"/(paraphrase|interpolate|infer|generate|generate_stream)$"
CONVERT = "/v1/convert"
PARTS = {
    "all checks": ("--exclude-path-regex", FREER, "--exclude-path", CONVERT),
    "what a schema cannot say may be refused": (
        *("--include-path-regex", FREER),
        *("--exclude-checks", "positive_data_acceptance"),
    ),
    # 501 with a text bundle, which is no fault.
    "convert": (
        *("--include-path", CONVERT),
        *("--exclude-checks", "positive_data_acceptance,not_a_server_error"),
    ),
}
# No operation leads to another: there is nothing that "stateful" could follow.
PHASES = "examples,coverage,fuzzing"


def generate(port: int, arguments: tuple[str, ...], examples: int, seed: int) -> dict[str, Any]:
    """Its report on a server.

    Args:
        port: of the server.
        arguments: which operations and checks.
        examples: of each operation when fuzzing.
        seed: of what is generated.

    Raises:
        SystemExit: it wrote no report.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                f"http://127.0.0.1:{port}/openapi.json",
                *("--phases", PHASES, "--max-examples", str(examples), "--seed", str(seed)),
                *("--no-color", "--report-json-path", str(report), *arguments),
            ],
            capture_output=True,
            text=True,
            cwd=folder,  # it leaves a folder behind
            check=False,
        )
        if done.returncode:
            print(done.stdout[-6000:], file=sys.stderr)
        if not report.exists():
            raise SystemExit(
                "conformity: schemathesis did not run (pip install 'seqvae[conformity]'):\n"
                f"{done.stderr[-2000:]}"
            )
        found: dict[str, Any] = json.loads(report.read_text())
    return {
        "complete": found["complete"],
        "operations": found["operations"]["tested"],
        "cases": found["test_cases"]["generated"],
        "failures": found["test_cases"]["with_failures"],
        "errors": len(found["errors"]) + found["test_cases"]["errored"],
        "found": found["failures"],
        "warnings": {name: where for name, where in found["warnings"].items() if where},
    }


@contextlib.contextmanager
def victim(bundle: Path | None) -> Iterator[int]:
    """Port of a server: `seqvae serve`, or without a bundle one that echoes."""
    if bundle is not None:
        with server(bundle) as (port, _):
            yield port
    else:
        logging.disable(logging.ERROR)
        with live(limits=Limits(max_batch=8)) as running:
            yield running.port


def main(
    bundle: Path | None = None, examples: int = 50, seed: int = 1, record: bool = True
) -> None:
    """Generate requests.

    Args:
        bundle: that is served; by default an echo.
        examples: of each operation when fuzzing.
        seed: of what is generated.
        record: write benchmarks/results/schema.json and the ledger.
    """
    parts = {}
    with victim(bundle) as port:
        for name, arguments in PARTS.items():
            parts[name] = part = generate(port, arguments, examples, seed)
            print(
                f"{name}: {part['cases']} requests to {part['operations']} operations, "
                f"{part['failures']} failures, {part['errors']} errors"
            )
        alive = ask(port, "/v2/health/ready").status == 200
    cases, failures, errors, operations = (
        sum(part[key] for part in parts.values())
        for key in ("cases", "failures", "errors", "operations")
    )
    if record:
        served = "an echo" if bundle is None else bundle.name
        path = write_result("schema", {"served": served, "alive": alive, "parts": parts})
        row = {
            "bar": "4",
            "what": "server: requests that schemathesis generates from the API document",
            "target": "every check of every answer, on every operation; the process lives",
            "figure": f"{cases} requests to {operations} operations: {failures} failures, "
            f"{errors} errors; {'alive' if alive else 'DEAD'} afterwards",
            "met": alive
            and not failures
            and not errors
            and all(part["complete"] for part in parts.values()),
            "result_file": path,
        }
        ledger("C", [row])
    if failures or errors or not alive:
        raise SystemExit(1)


if __name__ == "__main__":
    tyro.cli(main)
