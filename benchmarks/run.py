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

CPU = (
    "kernels",
    "gaussian_cpu",
    "traffic",
    "gates",
    "importance",
    "throughput",
    "memory",
    "kill",
    "prepare",
)
# Called, not started: a GPU machine may have no command-line library.
GPU: dict[str, dict[str, Any]] = {
    "kernels": {"argv": ["--gpu"]},
    "end_to_end": {"arguments": ["--preset", "small"]},
    "generation": {},
    # A sentence takes the loop with stored logits a second.
    "importance": {"device": "cuda", "sentence_count": 8, "repeats": 3},
    "speech_gpu": {},
}
# What the others but the training of speech take on a GPU; the kernels have the rest of the time.
OTHERS_SECONDS = 170


def main() -> int:
    """Run what was asked for; the exit code is 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="the GPU's benchmarks")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these")
    parser.add_argument(
        "--until", type=int, metavar="EPOCH", help="when to have ended, Unix time (with --gpu)"
    )
    arguments = parser.parse_args()
    known = list(GPU if arguments.gpu else CPU)
    unknown = set(arguments.only or ()) - set(known)
    if unknown:
        parser.error(f"no benchmark {min(unknown)!r}; there are {', '.join(known)}")
    failed = []
    for name in arguments.only or known:
        print(f"== {name}", flush=True)
        if arguments.gpu:
            settings = dict(GPU[name])
            if name == "kernels" and arguments.until is not None:
                settings["argv"] = ["--gpu", f"--until={arguments.until - OTHERS_SECONDS}"]
            if importlib.import_module(f"benchmarks.{name}").main(**settings):
                failed.append(name)
        elif subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
