"""The folder of a run: what makes it, what resumes it, and what else lies in the way."""

import json
import platform
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import seqvae
from seqvae.config import Experiment, read_config, write_config
from seqvae.config_json import to_json
from seqvae.errors import UserError
from seqvae.training.distributed import Process
from seqvae.training.material import Material


def open_run(experiment: Experiment, material: Material, process: Process) -> None:
    """Create the run's folder, or check that it holds this very run.

    Raises:
        UserError: it holds a run with other settings, other data or of another version, or cannot
            be written.
    """
    run = Path(experiment.run)
    path = run / "config.json"
    if path.exists():
        before, known = read_config(path)
        # Folders may have been moved; the data is known by its fingerprint.
        before = replace(before, run=experiment.run, data=experiment.data)
        if to_json(before) != to_json(experiment):
            raise UserError(
                f"{run} holds a run with other settings: {difference(before, experiment)}; "
                "use another folder, or the same settings to resume it"
            )
        if known.get("data_fingerprint") != material.fingerprint:
            raise UserError(
                f"{run} was trained on other data than {material.path} (its fingerprint differs); "
                "use another folder, or the same data to resume it"
            )
    elif process.main:
        facts = {
            "seqvae": seqvae.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "data_fingerprint": material.fingerprint,
            **material.facts(),
        }
        try:
            run.mkdir(parents=True, exist_ok=True)
            (run / "checkpoints").mkdir(exist_ok=True)
            material.furnish(run)
            partial = path.with_name(".config.json.partial")
            write_config(partial, experiment, **facts)
            partial.replace(path)
        except OSError as error:
            raise UserError(
                f"cannot write the run {run}: {error.strerror}; choose another folder or fix its "
                "permissions"
            ) from error
    process.wait()


def delete_run(run: Path, process: Process) -> None:
    """Delete the run in a folder, if there is one, and nothing that is not a run.

    Raises:
        UserError: the folder holds something else.
    """
    path = run / "config.json"
    if process.main and path.exists():
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            document = None
        if not isinstance(document, dict) or not {"format", "experiment"} <= document.keys():
            raise UserError(f"{run} is not a run of seqvae: not overwritten; use another folder")
        try:
            shutil.rmtree(run)
        except OSError as error:
            raise UserError(f"cannot delete the run {run}: {error.strerror}") from error
    process.wait()


def difference(before: Any, now: Any) -> str:  # noqa: ANN401
    """The first setting in which two experiments, dataclasses, differ, in words."""

    def walk(a: Any, b: Any, path: str) -> str:  # noqa: ANN401
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            for key in a:
                if a[key] != b[key]:
                    return walk(a[key], b[key], f"{path}.{key}" if path else key)
        return f"{path} was {a!r}, now {b!r}"

    return walk(to_json(before), to_json(now), "")
