"""CPU time of work that may be interrupted and go on in another process: kept in a file, to a few seconds."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Seconds between two notes: what a killed process loses.
EVERY = 5.0


@contextmanager
def counted(path: Path) -> Iterator[None]:
    """Add the CPU seconds that this process, all its threads, spends inside to those in `path`.

    Args:
        path: JSON file, made if there is none. Its folder is too.
    """
    before, began = cpu_seconds(path) or 0.0, time.process_time()
    path.parent.mkdir(parents=True, exist_ok=True)
    done = threading.Event()

    def note() -> None:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps({"cpu_seconds": before + time.process_time() - began}))
        os.replace(partial, path)

    def keep() -> None:
        while not done.wait(EVERY):
            note()

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        note()


def cpu_seconds(path: Path) -> float | None:
    """What `counted` has added up; None where it never did."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["cpu_seconds"])
    except FileNotFoundError:
        return None
