"""Run ONNX files in onnxruntime-web (WebAssembly, under Node) from Python."""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = Path(__file__).parents[1] / "examples" / "javascript"
RUNNER = Path(__file__).with_suffix(".mjs")
TYPES = {"float32", "float64", "int32", "int64", "bool"}

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Answers:
    """What came back.

    Attributes:
        outputs: by name, of each run.
        load_seconds: to open the model.
        run_seconds: for all runs.
    """

    outputs: list[dict[str, Array]]
    load_seconds: float
    run_seconds: float


def missing() -> str | None:
    """What is not installed here and how to change that; None if nothing is missing."""
    if shutil.which("node") is None:
        return "there is no node here"
    if not (PACKAGES / "node_modules" / "onnxruntime-web").exists():
        return "onnxruntime-web is missing: `npm install` in examples/javascript installs it"
    return None


def run(
    model: Path,
    runs: Sequence[Mapping[str, Array]],
    outputs: Sequence[str],
    external: Sequence[Path] = (),
    timeout: float = 600,
) -> Answers:
    """Open a model once and run it for each of the feeds; inputs with defaults may be left out.

    Args:
        model: an ONNX file.
        runs: feeds of each run.
        outputs: names of what is wanted.
        external: files with the model's weights.
        timeout: in seconds.

    Raises:
        RuntimeError: Node, onnxruntime-web or the model failed.
    """
    if problem := missing():
        raise RuntimeError(problem)
    asked = {
        "packages": str(PACKAGES),
        "model": str(model),
        "external": [str(path) for path in external],
        "outputs": list(outputs),
        "runs": [{name: _said(value) for name, value in feeds.items()} for feeds in runs],
    }
    done = subprocess.run(
        ["node", str(RUNNER)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{model.name} in WebAssembly: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout)
    return Answers(
        [{name: _array(value) for name, value in one.items()} for one in answer["answers"]],
        answer["seconds"]["load"],
        answer["seconds"]["run"],
    )


def _said(value: Array) -> dict[str, Any]:
    if value.dtype.kind in "OUT":
        return {"type": "string", "dims": value.shape, "data": [str(s) for s in value.ravel()]}
    name = value.dtype.name
    if name not in TYPES:
        raise RuntimeError(f"a tensor of type {name} has no way into WebAssembly here")
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"type": name, "dims": value.shape, "data": data}


def _array(value: dict[str, Any]) -> Array:
    if value["type"] == "string":
        return np.array(value["data"], dtype=object).reshape(value["dims"])
    data = base64.b64decode(value["data"])
    return np.frombuffer(data, dtype=value["type"]).reshape(value["dims"])
