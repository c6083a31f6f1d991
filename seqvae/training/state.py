"""All that a run is at one step: to a checkpoint, and back."""

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqvae.errors import UserError
from seqvae.training.checkpoint import (
    checkpoint_folder,
    checkpoints,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from seqvae.training.guard import rate_remedy
from seqvae.training.optimizer import pack_optimizer, unpack_optimizer

if TYPE_CHECKING:
    from seqvae.training.trainer import Trainer


def write_weights(run: "Trainer", name: str, measured: dict[str, Any]) -> None:
    """Write the weights as they are, as the run's `best` or `last`."""
    state = {"step": run.step, "measured": measured}
    write_checkpoint(run.run / name, {"model": _weights(run)}, state)


def save(run: "Trainer") -> None:
    """Write a checkpoint, and at the run's end its last weights.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    run.process.wait()
    if run.process.main:
        if run.finished:
            # Before the checkpoint: a run killed after it has nothing left to do.
            with run.ema.applied() if run.ema is not None else contextlib.nullcontext():
                write_weights(run, "last", run.measured)
        optimizer, numbers = pack_optimizer(run.optimizer)
        tensors = {"model": _weights(run), "optimizer": optimizer}
        if run.ema is not None:
            tensors["ema"] = run.ema.values
        opponent = run.opponent.state()
        if opponent:
            tensors["opponent"] = opponent
        state = {
            "step": run.step,
            "loader": run.material.state(),
            "objective": run.objective.state(),
            "word_dropout": run.model.word_dropout,
            "guard": run.guard.state(),
            "phases": run.phases.state(),
            "meter": run.meter.state(),
            "optimizer": numbers,
            "best": run.best,
            "waited": run.waited,
            "skipped": run.skipped,
            "bad": run.bad,
            "measured": run.measured,
            "files": run.log.offsets(),
        }
        write_checkpoint(checkpoint_folder(run.run, run.step), tensors, state)
        prune(run.run, run.config.keep)
    run.process.wait()


def resume(run: "Trainer") -> dict[str, int] | None:
    """Restore the newest checkpoint, if there is one; returns the sizes of the log files then.

    Raises:
        UserError: it is damaged, or does not fit the run.
    """
    found = checkpoints(run.run)
    if not found:
        return None
    tensors, state = read_checkpoint(found[-1], run.device)
    try:
        _restore(run, tensors, state)
        files: dict[str, int] = state["files"]
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{found[-1]}: does not fit this run ({error}); delete this checkpoint to go on from "
            "the one before"
        ) from error
    if run.process.main:
        print(f"resuming {run.run} at step {run.step} of {run.total}", file=sys.stderr)
    return files


def _restore(run: "Trainer", tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    run.model.load_state_dict(tensors["model"])
    run.phases.load_state(state["phases"], run)
    unpack_optimizer(run.optimizer, tensors["optimizer"], state["optimizer"])
    if run.ema is not None:
        run.ema.load(tensors["ema"])
    run.opponent.load_state(tensors.get("opponent", {}))
    run.step, run.best, run.waited = state["step"], state["best"], state["waited"]
    run.skipped, run.bad, run.measured = state["skipped"], state["bad"], state["measured"]
    run.guard.load_state(state["guard"])
    if "rate_target" in run.guard.applied:
        run.objective = rate_remedy(run.experiment).build()
    run.objective.load_state(state["objective"])
    run.model.word_dropout = state["word_dropout"]
    run.meter.load_state(state["meter"])
    run.material.load_state(state["loader"])


def _weights(run: "Trainer") -> dict[str, Tensor]:
    return {name: value.detach() for name, value in run.model.state_dict().items()}
