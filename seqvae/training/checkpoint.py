"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seqvae.errors import UserError

PREFIX = "step-"
MANIFEST = "manifest.json"


def write_checkpoint(
    folder: Path, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]
) -> None:
    """Write `folder` in one step: a reader finds all of it or none.

    Args:
        folder: where; replaced when it exists.
        tensors: per file name (without suffix), named tensors.
        state: JSON values.

    Raises:
        UserError: the disk is full or the folder cannot be written; nothing old is lost then.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        recover(folder)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, values in tensors.items():
            plain = {k: v.detach().cpu().contiguous() for k, v in values.items()}
            save_file(plain, partial / f"{name}.safetensors")
        (partial / "state.json").write_text(json.dumps(state) + "\n", encoding="utf-8")
        hashes = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            _sync(path)
        _sync(partial)
        if folder.exists():
            old = _aside(folder)
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            partial.rename(folder)
            shutil.rmtree(old)
        else:
            partial.rename(folder)
        _sync(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(
            f"cannot write checkpoint {folder}: {error}; free space or fix permissions and run the "
            "same command again: it goes on from the last whole checkpoint"
        ) from error


def read_checkpoint(
    folder: Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `write_checkpoint` wrote, verified against its manifest.

    Raises:
        UserError: a file is missing, truncated or altered.
    """
    recover(folder)
    try:
        hashes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        state: dict[str, Any] = {}
        tensors: dict[str, dict[str, Tensor]] = {}
        absent = {"model.safetensors", "state.json"} - hashes.keys()
        if absent:
            raise UserError(
                f"{folder / MANIFEST}: does not name {min(absent)}: altered; delete this "
                "checkpoint to go on from the one before"
            )
        for name, expected in hashes.items():
            if Path(name).name != name:
                raise UserError(f"{folder / MANIFEST}: {name!r} is not a plain file name")
            if _sha256(folder / name) != expected:
                raise UserError(
                    f"{folder / name}: its sha256 differs from the manifest: truncated or altered; "
                    "delete this checkpoint to go on from the one before"
                )
            if name == "state.json":
                state = json.loads((folder / name).read_text(encoding="utf-8"))
            else:
                tensors[Path(name).stem] = load_file(folder / name, device=str(device))
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        raise UserError(
            f"{folder}: damaged checkpoint ({error}); delete it to go on from the one before"
        ) from error
    return tensors, state


def checkpoints(run: Path) -> list[Path]:
    """The run's whole checkpoints, oldest first."""
    found = (run / "checkpoints").glob(f"{PREFIX}*")
    return sorted(path for path in found if (path / MANIFEST).exists())


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return run / "checkpoints" / f"{PREFIX}{step:09d}"


def prune(run: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints."""
    for path in checkpoints(run)[:-keep]:
        shutil.rmtree(path)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def recover(folder: Path) -> None:
    """Put the old checkpoint back when the writer was killed between moving old and new."""
    if _aside(folder).exists() and not folder.exists():
        _aside(folder).rename(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
