"""Referees that want the Python of .venv-eval: a script that reads a JSON list of texts and writes an array."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PYTHON = Path(__file__).parents[1] / ".venv-eval" / "bin" / "python"


def asked(script: str, texts: Sequence[str]) -> "np.ndarray[Any, Any] | None":
    """What `script` writes of `texts`; None where .venv-eval is not made (`make eval-env`), or lacks what it needs."""
    if not PYTHON.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "texts.json", Path(folder) / "out.npy"
        given.write_text(json.dumps(list(texts)), encoding="utf-8")
        # -P keeps this folder off the path, where kernels.py hides the package that transformers looks for.
        command = [str(PYTHON), "-P", script, str(given), str(out)]
        done = subprocess.run(command, check=False)
        return None if done.returncode else np.load(out)
