"""The tests of hostile input, counted: `python -m benchmarks.conformity.hostile`."""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import tyro

from benchmarks.record import ROOT, ledger, write_result

TESTS = {
    "tensors of the binary protocol, JSON": (
        "tests/conformity/test_hostile_tensors.py",
        "tests/serving/test_v2.py",
        "tests/serving/test_v1.py",
        "tests/serving/test_generate.py",
    ),
    "sockets: truncated, slow, malformed, leaving": (
        "tests/conformity/test_hostile_sockets.py",
        "tests/serving/test_limits.py",
    ),
    "changed bundles": (
        "tests/conformity/test_hostile_bundles.py",
        "tests/export/test_bundle.py",
        "tests/export/test_bundle_graph.py",
    ),
}


def run(paths: tuple[str, ...]) -> dict[str, Any]:
    """How many tests of some files passed, failed and were skipped, and which failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", *paths, f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = [
        f"{case.get('classname')}.{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failed) - skipped
    return {"tests": len(cases), "passed": passed, "skipped": skipped, "failed": failed}


def main(record: bool = True) -> None:
    """Run them.

    Args:
        record: write benchmarks/results/hostile.json and the ledger.
    """
    found = {name: run(paths) for name, paths in TESTS.items()}
    failed = [test for one in found.values() for test in one["failed"]]
    skipped = sum(one["skipped"] for one in found.values())
    if record:
        parts = "; ".join(
            f"{name}: {one['passed']} of {one['tests']}" for name, one in found.items()
        )
        row = {
            "bar": "4",
            "what": "server and bundle: hostile input",
            "target": "a clear 4xx or load error each, in time; the process lives, its memory "
            "bounded; nothing outside the bundle is read",
            "figure": parts,
            "met": not failed and not skipped,
            "result_file": write_result("hostile", {"tests": found}),
        }
        ledger("C", [row])
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    tyro.cli(main)
