"""What a run writes down: metrics.jsonl, guard.jsonl, timing.jsonl and TensorBoard."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seqvae.errors import UserError


class RunLog:
    """Appends JSON lines; after a resume, lines past the checkpoint are cut off.

    Times go into `timing.jsonl` alone, so that `metrics.jsonl` of a resumed run equals that of an
    uninterrupted one byte for byte.

    Args:
        run: the run's folder.
        main: whether this process writes at all.
        offsets: sizes of the files at the checkpoint resumed from, as `offsets` returned them.
    """

    FILES = ("metrics.jsonl", "guard.jsonl", "timing.jsonl")

    def __init__(self, run: Path, main: bool, offsets: dict[str, int] | None = None) -> None:
        self.run, self.main = run, main
        self.board: Any = None
        if not main:
            return
        with _explained(run):
            for name in self.FILES:
                with (run / name).open("ab") as file:
                    file.truncate(min((offsets or {}).get(name, 0), file.tell()))

    def write(self, name: str, row: dict[str, Any]) -> None:
        """Append one row to a file and send its numbers to TensorBoard."""
        if not self.main:
            return
        with _explained(self.run), (self.run / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(row), allow_nan=False) + "\n")
            file.flush()
        if name == "metrics.jsonl":
            self._tensorboard(row)

    def offsets(self) -> dict[str, int]:
        """Sizes of the files now, made durable."""
        sizes = {}
        for name in self.FILES:
            with _explained(self.run), (self.run / name).open("ab") as file:
                os.fsync(file.fileno())
                sizes[name] = file.tell()
        return sizes

    def _tensorboard(self, row: dict[str, Any]) -> None:
        if self.board is None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(self.run / "tensorboard"), purge_step=row["step"])
        for key, value in row.items():
            if key not in ("step", "split") and isinstance(value, (int, float)):
                self.board.add_scalar(f"{row['split']}/{key}", value, row["step"])

    def close(self) -> None:
        """Flush and close TensorBoard."""
        if self.board is not None:
            self.board.close()


@contextmanager
def _explained(run: Path) -> Iterator[None]:
    """Name the run when its log cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the log of run {run}: {error.strerror or error}; free space or fix "
            "permissions and run the same command again: it goes on from the last checkpoint"
        ) from error


def _finite(value: Any) -> Any:  # noqa: ANN401
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Meter:
    """Means of the shown values since they were last taken; part of the checkpoint."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, float] = {}
        self.size = 0.0
        self.step_sums: dict[str, float] = {}
        self.steps = 0

    def add(self, sums: dict[str, float], size: float, per_step: dict[str, float]) -> None:
        """Add one step: sums over its `size` sequences, and values of the step itself."""
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        for name, value in per_step.items():
            self.step_sums[name] = self.step_sums.get(name, 0.0) + value
        self.size += size
        self.steps += 1

    def take(self) -> dict[str, float]:
        """The means so far (none after skipped steps alone); starts over."""
        means = {name: value / self.size for name, value in self.sums.items()}
        means |= {name: value / self.steps for name, value in self.step_sums.items()}
        self._clear()
        return means

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "sums": self.sums,
            "size": self.size,
            "step_sums": self.step_sums,
            "steps": self.steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.sums, self.size = state["sums"], state["size"]
        self.step_sums, self.steps = state["step_sums"], state["steps"]


class Progress:
    """The bar on the terminal: steps and the numbers that matter.

    Args:
        total: steps of the run.
        done: steps already done.
        main: whether this process shows it.
    """

    def __init__(self, total: int, done: int, main: bool) -> None:
        # In a file or a pipe the bar would write a line a step.
        pause = 0.1 if sys.stderr.isatty() else 30.0
        self.bar = tqdm(
            total=total,
            initial=done,
            unit="step",
            disable=not main,
            smoothing=0.05,
            mininterval=pause,
            maxinterval=max(10.0, pause),
        )
        self.began, self.count = time.monotonic(), 0

    def advance(self, count: int, shown: dict[str, float] | None = None) -> None:
        """One step done, over `count` tokens or frames."""
        self.count += count
        self.bar.update()
        if shown:
            text = " ".join(f"{k} {v:.3g}" for k, v in shown.items())
            self.bar.set_postfix_str(text, refresh=False)

    @property
    def speed(self) -> float:
        """Tokens or frames a second since this process began."""
        return self.count / max(1e-9, time.monotonic() - self.began)

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if not self.bar.disable:
            self.bar.write(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
