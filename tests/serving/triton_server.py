"""Records what a real Triton Inference Server answers: `python -m tests.serving.triton_server`.

The server's binary is in the wheel nvidia-pytriton (0.7.0: Triton 2.51), which starts without a GPU.
Its Python backend reads strings wrongly under numpy 2, finds its packages by the `python3` on PATH,
not by PYTHONPATH, and needs that Python's shared library; so:

    pip install --target wheel --no-deps nvidia-pytriton==0.7.0
    pip install --target numpy1 'numpy<2'
    python -m tests.serving.triton_server wheel numpy1
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from tests.serving.client import ask
from tests.serving.triton_requests import CASES, MAX_BATCH

ANSWERS = Path(__file__).with_name("triton_answers.json")
_CONFIG = """
name: "model"
backend: "python"
max_batch_size: %d
input [
  { name: "text" data_type: TYPE_STRING dims: [1] },
  { name: "seed" data_type: TYPE_INT64 dims: [1] optional: true },
  { name: "temperature" data_type: TYPE_FP32 dims: [1] optional: true },
  { name: "beam" data_type: TYPE_BOOL dims: [1] optional: true }
]
output [
  { name: "text" data_type: TYPE_STRING dims: [1] },
  { name: "ids" data_type: TYPE_INT64 dims: [-1] },
  { name: "log_prob" data_type: TYPE_FP32 dims: [1] },
  { name: "complete" data_type: TYPE_BOOL dims: [1] }
]
dynamic_batching { }
"""
# The echo of tests/serving/stub.py.
_MODEL = """
import sys
sys.path.insert(0, %r)
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        def column(name, default, count):
            tensor = pb.get_input_tensor_by_name(request, name)
            return [default] * count if tensor is None else tensor.as_numpy()[:, 0].tolist()

        texts = [text.decode() for text in column("text", b"", 1)]
        if any("boom" in text for text in texts):
            return pb.InferenceResponse(output_tensors=[], error=pb.TritonError("boom"))
        rows = zip(texts, *(column(name, value, len(texts)) for name, value in
                            (("seed", 0), ("temperature", 0.0), ("beam", False))))
        out = [f"{text}|{seed}|{temperature:g}|{beam}" for text, seed, temperature, beam in rows]
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        for row, text in zip(ids, texts):
            row[: len(text)] = 5
        return pb.InferenceResponse(output_tensors=[
            pb.Tensor("text", np.array([[text.encode()] for text in out], dtype=object)),
            pb.Tensor("ids", ids),
            pb.Tensor("log_prob", np.array([[-len(text)] for text in texts], np.float32)),
            pb.Tensor("complete", np.ones((len(texts), 1), bool)),
        ])
"""


def record(wheel: Path, numpy: Path) -> None:
    """Start it, put every request to it, write the answers."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(_CONFIG % MAX_BATCH)
        (model / "1" / "model.py").write_text(_MODEL % str(numpy.resolve()))
        port = _free_port()
        process = _start(wheel.resolve() / "pytriton" / "tritonserver", Path(folder), port)
        try:
            for _ in range(200):
                time.sleep(0.1)
                try:
                    if ask(port, "/v2/health/ready").status == 200:
                        break
                except OSError:
                    if process.poll() is not None:
                        raise SystemExit("triton ended; see what it said above") from None
            version = ask(port, "/v2").json["version"]
            answers = {}
            for name, case in CASES.items():
                answer = ask(port, case.path, case.body, headers=case.headers)
                answers[name] = {
                    "status": answer.status,
                    "header": answer.headers.get("inference-header-content-length"),
                    "body": base64.b64encode(answer.body).decode(),
                }
        finally:
            process.terminate()
            process.wait(60)
    found = {"server": f"Triton Inference Server {version}", "answers": answers}
    ANSWERS.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(answers)} answers of {found['server']} written to {ANSWERS}")


def _start(server: Path, repository: Path, port: int) -> "subprocess.Popen[bytes]":
    backend = server / "backends" / "python" / "triton_python_backend_stub"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(server / "python_backend_stubs" / version / backend.name, backend)
    for program in (backend, server / "bin" / "tritonserver"):
        program.chmod(0o755)
    libraries = [
        *server.parents[1].glob("nvidia_pytriton.libs"),
        sysconfig.get_config_var("LIBDIR"),
    ]
    # The interpreter that this one was made from: a virtual environment would bring its numpy 2.
    path = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    return subprocess.Popen(
        [
            *(str(server / "bin" / "tritonserver"), f"--model-repository={repository}"),
            *(f"--backend-directory={server / 'backends'}", f"--http-port={port}"),
            *("--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"),
        ],
        env={**os.environ, "PATH": path, "LD_LIBRARY_PATH": ":".join(map(str, libraries))},
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


if __name__ == "__main__":
    record(*map(Path, sys.argv[1:3]))
