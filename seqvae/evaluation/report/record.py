"""What a run's folder says of it, read with nothing computed."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqvae.config import Experiment, read_config
from seqvae.errors import UserError

SPLITS = ("test", "valid", "train")
_LARGEST_JSON = 16 << 20
_LONGEST_LINE = 1 << 20

Row = dict[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """A run as its files tell it.

    Attributes:
        path: the folder.
        experiment: its settings.
        facts: versions, command, fingerprint of the data.
        train: rows of metrics.jsonl averaged over training steps.
        valid: rows of metrics.jsonl measured on validation sentences.
        guard: rows of guard.jsonl.
        tokens_per_second: the last speed logged.
        best: step and measurements of the best weights, or None before there are any.
        finished: whether the run came to its last step.
        evaluations: what `seqvae evaluate` wrote, by split.
        damaged: lines that could not be read.
    """

    path: Path
    experiment: Experiment
    facts: Row
    train: list[Row]
    valid: list[Row]
    guard: list[Row]
    tokens_per_second: float | None
    best: Row | None
    finished: bool
    evaluations: dict[str, Row]
    damaged: int

    @property
    def is_language_model(self) -> bool:
        """Whether it has no latent."""
        return self.experiment.latent == "none"

    @property
    def step(self) -> int:
        """Last step that was logged."""
        return max((int(row["step"]) for row in (*self.train, *self.valid)), default=0)

    @property
    def measured(self) -> Row | None:
        """The validation of the best weights, or the last validation there is."""
        if self.best is not None and self.best["measured"]:
            found: Row = self.best["measured"]
            return found
        return self.valid[-1] if self.valid else None


def read_run(path: Path) -> RunRecord:
    """Read a run's folder; a run that is still training is read as far as it is.

    Raises:
        UserError: not a run, or a file of it cannot be read.
    """
    experiment, facts = read_config(path / "config.json")
    metrics = _JsonLines(path / "metrics.jsonl")
    guard = _JsonLines(path / "guard.jsonl")
    timing = _JsonLines(path / "timing.jsonl")
    best = _read_object(path / "best" / "state.json")
    speeds = [row["tokens_per_second"] for row in timing.rows if "tokens_per_second" in row]
    evaluations = {name: _read_object(path / f"evaluation-{name}.json") for name in SPLITS}
    return RunRecord(
        path=path,
        experiment=experiment,
        facts=facts,
        train=[row for row in metrics.rows if row.get("split") == "train"],
        valid=[row for row in metrics.rows if row.get("split") == "valid"],
        guard=guard.rows,
        tokens_per_second=number(speeds[-1]) if speeds else None,
        best=None
        if best is None
        else {"step": best.get("step"), "measured": best.get("measured") or {}},
        finished=(path / "last").is_dir(),
        evaluations={name: found for name, found in evaluations.items() if found is not None},
        damaged=metrics.damaged + guard.damaged + timing.damaged,
    )


def number(value: object) -> float | None:
    """A finite number, or None for anything else that a JSON file may hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


class _JsonLines:
    """The rows of a file of JSON objects, one a line, that each know their step."""

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        self.rows = list(self._read(path))

    def _read(self, path: Path) -> Iterator[Row]:
        try:
            with path.open("rb") as file:
                while line := file.readline(_LONGEST_LINE):
                    try:
                        row = json.loads(line)
                    except ValueError:
                        # The last line of a run that is training may still be on its way.
                        self.damaged += line.endswith(b"\n")
                        continue
                    if isinstance(row, dict) and number(row.get("step")) is not None:
                        yield row
                    else:
                        self.damaged += 1
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; make it readable and run again") from error


def _read_object(path: Path) -> Row | None:
    """A JSON object from a file; None when there is no such file."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise UserError(f"{path}: far too large; delete it and make it again")
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: unreadable ({error}); delete it and make it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object; delete it and make it again")
    return content
