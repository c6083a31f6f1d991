"""Processes that make parts side by side; `python -m seqvae.data.speech.workers` is one of them."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.part import make_part
from seqvae.data.speech.records import Take
from seqvae.data.speech.utterances import Treatment
from seqvae.errors import UserError

OnTake = Callable[[float], None]


@dataclass(frozen=True)
class PartJob:
    """A part to make.

    Attributes:
        shard: file for its sound.
        result: file for what is known of it, written last.
        takes: its recordings.
        treatment: what is done to them.
    """

    shard: Path
    result: Path
    takes: Sequence[Take]
    treatment: Treatment

    def run(self, on_take: OnTake) -> None:
        """Make it; see `make_part`."""
        # A name of its own: a worker that outlived its parent may still write to another. Not beside the shard:
        # what such a worker leaves after others have swept would be taken for a part of the corpus.
        partial = self.result.with_name(f"{self.shard.stem}.{os.getpid()}.new")
        part = make_part(partial, self.takes, self.treatment, on_take)
        if part.file is None:
            partial.unlink(missing_ok=True)
        else:
            _flush(partial)
            os.replace(partial, self.shard)
            part = replace(part, file={**part.file, "name": self.shard.name})
        part.write(self.result)

    def encode(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def decode(cls, line: str) -> "PartJob":
        """What `encode` gave."""
        content = json.loads(line)
        treatment = content["treatment"]
        return cls(
            Path(content["shard"]),
            Path(content["result"]),
            [Take(**{**take, "path": Path(take["path"])}) for take in content["takes"]],
            Treatment(**{**treatment, "mel": MelSettings(**treatment["mel"])}),
        )


def _flush(path: Path) -> None:
    """See that a file is on the disk before another says so."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def run_jobs(jobs: Sequence[PartJob], workers: int, on_take: OnTake) -> None:
    """Make parts.

    Processes are started afresh, not forked: a script that calls this needs no `if __name__ == "__main__"`.

    Args:
        jobs: the parts; what is made does not depend on who makes it.
        workers: processes; with one the calling process does it itself.
        on_take: told after each recording how many seconds of it are stored, from any thread.

    Raises:
        UserError: a package is missing, or a worker died (of a file that crashes the decoder, or of want of
            memory).
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            job.run(on_take)
        return
    queue: SimpleQueue[PartJob] = SimpleQueue()
    for job in jobs:
        queue.put(job)
    crew = _Crew()
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_serve, queue, crew, on_take) for _ in range(workers)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            crew.dismiss()
        for future in futures:
            future.result()


class _Crew:
    """The processes at work, so that all can be ended at once."""

    def __init__(self) -> None:
        self.dismissed = False
        self._processes: list[subprocess.Popen[str]] = []
        self._lock = Lock()

    def hire(self) -> "subprocess.Popen[str]":
        """Start a process."""
        root = str(Path(__file__).parents[3])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        # One thread each: they are as many as there are processors.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with self._lock:
            process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="ascii",
                env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
                # Ctrl-C is for the parent, which ends them.
                start_new_session=True,
            )
            self._processes.append(process)
            if self.dismissed:
                process.kill()
        return process

    def dismiss(self) -> None:
        """End all, those that work too."""
        with self._lock:
            self.dismissed = True
            for process in self._processes:
                process.kill()


def _serve(queue: "SimpleQueue[PartJob]", crew: _Crew, on_take: OnTake) -> None:
    """Feed one worker until there is nothing left to do."""
    with crew.hire() as process:
        while not crew.dismissed:
            try:
                job = queue.get_nowait()
            except Empty:
                # The end of its input ends it.
                assert process.stdin is not None
                process.stdin.close()
                return
            _ask(process, job, crew, on_take)


def _ask(process: "subprocess.Popen[str]", job: PartJob, crew: _Crew, on_take: OnTake) -> None:
    assert process.stdin is not None and process.stdout is not None
    done = 0
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(job.encode() + "\n")
        process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                raise UserError(answer["error"])
            if "finished" in answer:
                return
            on_take(answer["seconds"])
            done += 1
    if not crew.dismissed:
        take = job.takes[min(done, len(job.takes) - 1)]
        raise UserError(
            f"{take.path}: a worker died while reading it; if memory ran out use fewer --workers, else take the "
            "file away. The same command goes on from there"
        )


def main() -> None:
    """Read jobs from standard input, one a line; answer each recording, and each job when it is finished."""

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), flush=True)

    for line in sys.stdin:
        try:
            PartJob.decode(line).run(lambda seconds: answer({"seconds": seconds}))
        except UserError as error:
            answer({"error": str(error)})
        else:
            answer({"finished": True})


if __name__ == "__main__":
    main()
