"""Many sound files through one task: a bad one is reported and the rest goes on."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.tasks.chunks import Array
from seqvae.tasks.outputs import Job
from seqvae.tasks.recording import Recording
from seqvae.tasks.resampled import resampled
from seqvae.tasks.sound_file import write_blocks

Work = Callable[[Recording], Iterator[Array]]
"""A task: from a recording to pieces of sound at the model's rate."""
Progress = Callable[[float], None]
"""Told the seconds of sound that were written since it was last told."""


@dataclass(frozen=True)
class Result:
    """What became of one file.

    Attributes:
        source: file that was read.
        output: file that was written; None after an error.
        seconds: of sound.
        elapsed: seconds that it took, reading and writing included.
        silent: whether there was no sound in it, so that silence was written.
        error: what was wrong with it, or None.
    """

    source: Path
    output: Path | None
    seconds: float
    elapsed: float
    silent: bool = False
    error: str | None = None

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for a second of sound."""
        return self.elapsed / self.seconds if self.seconds else 0.0


def run_jobs(
    jobs: Iterable[Job],
    work: Work,
    settings: MelSettings,
    *,
    rate: int | None = None,
    progress: Progress = lambda seconds: None,
) -> Iterator[Result]:
    """Do `work` on every file and write what it gives.

    Args:
        jobs: files to read and to write.
        work: the task.
        settings: mel settings of the model.
        rate: of the files written, Hz; by default the model's.
        progress: called as sound is written.
    """
    for job in jobs:
        began = time.perf_counter()
        try:
            recording = Recording(job.source, settings)
            written = _write(job.output, work(recording), settings.sample_rate, rate, progress)
        except UserError as error:
            yield Result(job.source, None, 0.0, time.perf_counter() - began, error=str(error))
            continue
        elapsed = time.perf_counter() - began
        yield Result(job.source, job.output, written, elapsed, recording.silent)


def _write(
    output: Path, pieces: Iterator[Array], own: int, rate: int | None, progress: Progress
) -> float:
    """Write pieces at `own` Hz as a file at `rate` Hz; returns seconds."""

    def watched() -> Iterator[Array]:
        for piece in pieces:
            yield piece
            progress(len(piece) / own)

    rate = own if rate is None else rate
    return write_blocks(output, resampled(watched(), own, rate), rate) / rate
