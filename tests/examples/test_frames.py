"""The example of frames writes with the graph alone what the model writes in PyTorch."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from seqvae.export.frames_export import export_frames
from tests.examples.test_python import EXAMPLES
from tests.export.framed import CONDITIONAL, FEATURES, LONGEST, frames_model


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the example in a process of its own that cannot import what an app would not have."""
    program = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['seqvae'] = None;"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    start = (sys.executable, "-c", program, EXAMPLES / "python_frames.py", *arguments)
    return subprocess.run(
        [*map(str, start)], capture_output=True, text=True, timeout=120, check=False
    )


def test_python_alone(tmp_path: Path) -> None:
    model, bundle = frames_model(CONDITIONAL), tmp_path / "bundle"
    export_frames(model, bundle)
    raw = np.random.default_rng(0).uniform(0, 4, (5, LONGEST - 1, FEATURES))
    np.save(tmp_path / "raw.npy", raw)
    place = (bundle, tmp_path / "raw.npy", tmp_path / "out.npy")
    done = run(*place, "two", "three")
    assert done.returncode == 0, done.stderr
    assert "5 sequences from 5 numbers each" in done.stdout and done.stderr == ""
    z = model.encode(raw / 4, ["two"] * 5)
    wanted = model.decode(z, LONGEST - 1, ["three"] * 5)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.stack(wanted), atol=1e-5)
    done = run(*place, "four")
    assert done.returncode == 1 and "no label 'four'; there are one, two, three" in done.stderr
    np.save(tmp_path / "raw.npy", np.zeros((1, LONGEST + 1, FEATURES)))
    done = run(*place, "two")
    assert done.returncode == 1 and "T at most 7" in done.stderr
