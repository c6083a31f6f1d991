"""The C++ example is built and run where onnxruntime's headers are."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.examples.echo_model import echo

FOLDER = Path(__file__).parents[2] / "examples" / "cpp"
HEADERS = os.environ.get("ORT_INCLUDE_DIR", "")


def library() -> Path:
    """The onnxruntime of this Python, under the name that its own linker entry asks for."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None and spec.origin is not None
    return next((Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*"))


@pytest.mark.skipif(not HEADERS, reason="ORT_INCLUDE_DIR names no folder of onnxruntime's headers")
@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake here")
def test_cpp(tmp_path: Path, bundle: Path) -> None:
    installed = library()
    # The program asks for the library by its short name.
    (tmp_path / "libonnxruntime.so.1").symlink_to(installed)
    settings = [f"-DORT_INCLUDE_DIR={HEADERS}", f"-DORT_LIBRARY={tmp_path}/libonnxruntime.so.1"]
    build = str(tmp_path / "build")
    subprocess.run(["cmake", "-S", str(FOLDER), "-B", build, *settings], check=True, timeout=120)
    subprocess.run(["cmake", "--build", build], check=True, timeout=240)
    model = str(bundle / "cpu-fp32" / "model.onnx")
    program = f"{build}/paraphrase"
    done = subprocess.run(
        [program, model, "où 日本 🦊", "7"], capture_output=True, text=True, timeout=60, check=True
    )
    expected = [echo("où 日本 🦊", seed=7, sample=k, temperature=0.7) for k in range(5)]
    assert done.stdout.splitlines() == expected
    refused = subprocess.run(
        [program, "none.onnx", "a"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert "none.onnx" in refused.stderr
