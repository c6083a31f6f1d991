"""A real Triton Inference Server on this machine, without a GPU and without a container.

Its binary is in the wheel nvidia-pytriton (0.7.0: Triton 2.51, core and Python backend). Measured:
the backend reads strings wrongly under numpy 2, finds its packages by the `python3` on PATH, not
by PYTHONPATH, and needs that Python's shared library.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.serving.client import ask

WHEELS = {"triton": ("--no-deps", "nvidia-pytriton==0.7.0"), "numpy1": ("numpy<2",)}
"""Folder -> what pip puts there."""
START_SECONDS = 60.0
MODEL = Path(__file__).with_name("triton_model.py")
_CONFIG = """
name: "model"
backend: "python"
max_batch_size: {max_batch}
input [
  {{ name: "text" data_type: TYPE_STRING dims: [1] }},
  {{ name: "seed" data_type: TYPE_INT64 dims: [1] optional: true }},
  {{ name: "temperature" data_type: TYPE_FP32 dims: [1] optional: true }},
  {{ name: "beam" data_type: TYPE_BOOL dims: [1] optional: true }}
]
output [
  {{ name: "text" data_type: TYPE_STRING dims: [1] }},
  {{ name: "ids" data_type: TYPE_INT64 dims: [-1] }},
  {{ name: "log_prob" data_type: TYPE_FP32 dims: [1] }},
  {{ name: "complete" data_type: TYPE_BOOL dims: [1] }}
]
dynamic_batching {{
  max_queue_delay_microseconds: 2000
  default_queue_policy {{ max_queue_size: {max_queue} }}
}}
parameters {{ key: "seconds" value {{ string_value: "{seconds}" }} }}
"""


@dataclass(frozen=True)
class Ports:
    """Where it listens on 127.0.0.1."""

    http: int
    metrics: int


def install(folder: Path) -> None:
    """Have pip put what is needed into `folder`; what is there stays.

    Raises:
        SystemExit: pip could not.
    """
    for name, wanted in WHEELS.items():
        if (folder / name).is_dir():
            continue
        partial = folder / f"{name}.partial"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial)]
        if subprocess.run([*command, *wanted], check=False).returncode:
            raise SystemExit(f"conformity: pip could not install {wanted[-1]}; see above")
        partial.rename(folder / name)


@contextlib.contextmanager
def running(
    folder: Path, *, max_batch: int, max_queue: int = 64, seconds: float = 0.0
) -> Iterator[Ports]:
    """A ready server with one model, the echo of tests/serving/stub.py.

    Args:
        folder: of `install`.
        max_batch: rows of a batch.
        max_queue: requests that may wait.
        seconds: that a batch takes.

    Raises:
        SystemExit: it does not start.
    """
    server = (folder / "triton" / "pytriton" / "tritonserver").resolve()
    with tempfile.TemporaryDirectory() as where, (Path(where) / "log").open("wb") as log:
        version = Path(where) / "models" / "model" / "1"
        version.mkdir(parents=True)
        config = _CONFIG.format(max_batch=max_batch, max_queue=max_queue, seconds=seconds)
        (version.parent / "config.pbtxt").write_text(config)
        shutil.copy(MODEL, version / "model.py")
        (version / "packages").write_text(str((folder / "numpy1").resolve()))
        ports = Ports(_free_port(), _free_port())
        with subprocess.Popen(
            _command(server, version.parents[1], ports),
            env=_environment(server),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                _wait(process, ports, Path(where) / "log")
                yield ports
            finally:
                process.terminate()
                process.wait(60)
                # When the server crashed, what runs its model is still there.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _command(server: Path, repository: Path, ports: Ports) -> list[str]:
    backend = server / "backends" / "python" / "triton_python_backend_stub"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not backend.exists():  # of this Python; it cannot be overwritten while another runs
        shutil.copy(server / "python_backend_stubs" / version / backend.name, backend)
    for program in (backend, server / "bin" / "tritonserver"):
        program.chmod(0o755)
    return [
        *(str(server / "bin" / "tritonserver"), f"--model-repository={repository}"),
        *(f"--backend-directory={server / 'backends'}", "--allow-grpc=false"),
        *("--http-address=127.0.0.1", f"--http-port={ports.http}"),
        *("--metrics-address=127.0.0.1", f"--metrics-port={ports.metrics}"),
    ]


def _environment(server: Path) -> dict[str, str]:
    libraries = [
        *server.parents[1].glob("nvidia_pytriton.libs"),
        sysconfig.get_config_var("LIBDIR"),
    ]
    # The interpreter that this one was made from: a virtual environment would bring its numpy 2.
    path = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    return {**os.environ, "PATH": path, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}


def _wait(process: "subprocess.Popen[bytes]", ports: Ports, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            if ask(ports.http, "/v2/health/ready").status == 200:
                return
        time.sleep(0.1)
    said = log.read_text(errors="replace")[-4000:]
    raise SystemExit(f"conformity: Triton did not start; it said:\n{said}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
