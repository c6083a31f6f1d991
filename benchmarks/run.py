"""Run the benchmarks one after another: `make bench`, and with a GPU `make bench-gpu`.

    python -m benchmarks.run                    all that need no data and no GPU
    python -m benchmarks.run --only importance
    python -m benchmarks.run --gpu              those that gain from a GPU

Each is a program of its own (`python -m benchmarks.NAME --help`) and writes its result under benchmarks/results/. Not run here,
because they train on a corpus of yours: `benchmarks.text_vae` and `benchmarks.rate_dial`.
"""

import argparse
import importlib
import subprocess
import sys
from typing import Any

CPU = ("importance", "throughput", "memory", "kill", "prepare")
# Called, not started: a GPU machine may have no command-line library.
GPU: dict[str, dict[str, Any]] = {"importance": {"device": "cuda", "sentence_count": 64}}


def main() -> int:
    """Run what was asked for; the exit code is 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="the GPU's benchmarks")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these")
    arguments = parser.parse_args()
    known = list(GPU if arguments.gpu else CPU)
    unknown = set(arguments.only or ()) - set(known)
    if unknown:
        parser.error(f"no benchmark {min(unknown)!r}; there are {', '.join(known)}")
    failed = []
    for name in arguments.only or known:
        print(f"== {name}", flush=True)
        if arguments.gpu:
            importlib.import_module(f"benchmarks.{name}").main(**GPU[name])
        elif subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
