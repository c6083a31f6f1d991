"""A new clone and an empty environment: `make setup`, `make demo` and `make test`, timed.

    python -m benchmarks.fresh

Uses what is committed, not what lies in the working tree.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import ROOT, ledger, write_result

TARGET_MINUTES = 6.0


def main() -> int:
    """Run the three and record bar 1 of issue A; the exit code is 1 if one failed."""
    minutes: dict[str, float] = {}
    passed: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "seqvae"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        for target in ("setup", "demo", "test"):
            began = time.monotonic()
            done = subprocess.run(["make", target], cwd=clone, env=clean, check=False)
            minutes[target] = round((time.monotonic() - began) / 60, 2)
            passed[target] = done.returncode == 0
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    path = write_result("fresh", {"minutes": minutes, "passed": passed, "threads": threads})
    row = {
        "bar": "1",
        "what": "new clone, empty environment: make demo and make test pass",
        "target": f"pass; demo <= {TARGET_MINUTES:g} minutes after installation on 2 cores",
        "figure": f"{passed}; minutes {minutes}; threads {threads}",
        "met": all(passed.values()) and minutes["demo"] <= TARGET_MINUTES,
        "result_file": path,
    }
    ledger("A", [row])
    print(row["figure"])
    return not row["met"]


if __name__ == "__main__":
    sys.exit(main())
