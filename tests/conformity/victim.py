"""A server in a process of its own, so that its memory, files and threads can be counted."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.serving.client import INFER, ask, text

ROOT = Path(__file__).parents[2]
MAX_BATCH, MAX_STREAMS, BODY_SECONDS = 8, 4, 1.0
MEGABYTES = 24
"""Of a request. Small, so that many of them are quick to send."""
_RUN = """
import logging, sys
from seqvae.serving.limits import Limits
from tests.serving.stub import StubEngine, live
logging.disable(logging.CRITICAL)
limits = Limits(max_batch={batch}, max_streams={streams}, max_body_mb={mega}, max_bodies_mb={mega},
                max_json_mb=8, body_seconds={body}, header_seconds={body}, max_connections=200)
with live(StubEngine(seconds=0.001), limits) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


@dataclass
class Victim:
    """A running server."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def _folder(self) -> Path:
        return Path(f"/proc/{self.process.pid}")

    @property
    def megabytes(self) -> float:
        """Of memory that it holds."""
        pages = int((self._folder / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def peak_megabytes(self) -> float:
        """The most that it ever held."""
        (line,) = (
            line
            for line in (self._folder / "status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        return int(line.split()[1]) / 2**10

    @property
    def files(self) -> int:
        """Open files and sockets."""
        return len(list((self._folder / "fd").iterdir()))

    @property
    def threads(self) -> int:
        """Its threads."""
        return len(list((self._folder / "task").iterdir()))

    def metric(self, name: str) -> float:
        """A series without labels."""
        lines = ask(self.port, "/metrics").body.decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def assert_well(self) -> None:
        """It lives, and answers a sound request correctly and soon."""
        assert self.process.poll() is None, "the server ended"
        began = time.monotonic()
        answer = ask(self.port, INFER, {"inputs": [text(["well?"])]})
        assert answer.status == 200
        assert answer.json["outputs"][0]["data"] == ["well?|0|0|False"]
        assert time.monotonic() - began < 5

    def assert_idle(self, files: int, seconds: float = 5.0) -> None:
        """Nothing of earlier requests is left.

        Args:
            files: open before them.
            seconds: to wait for it.
        """
        end = time.monotonic() + seconds
        names = ("seqvae_queue_rows", "seqvae_running_rows", "seqvae_streams")
        while True:
            left = {name: self.metric(name) for name in names}
            if not any(left.values()) and self.files <= files + 1:
                return
            assert time.monotonic() < end, (left, self.files, files)
            time.sleep(0.02)


@contextlib.contextmanager
def victim() -> Iterator[Victim]:
    """Start one, with an engine that echoes."""
    program = _RUN.format(batch=MAX_BATCH, streams=MAX_STREAMS, mega=MEGABYTES, body=BODY_SECONDS)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Victim(process, int(process.stdout.readline()))
        finally:
            process.kill()
