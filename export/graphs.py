"""Run exported graphs here, while exporting: one session a graph, inputs and outputs by name."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.errors import UserError

Array = np.ndarray[Any, np.dtype[Any]]


class Graph:
    """One ONNX file in ONNX Runtime's CPU provider.

    Args:
        path: the file; its weights may lie beside it.
        extensions: whether it needs the operators of onnxruntime-extensions.
        threads: of one operator; a comparison needs no more than one.

    Raises:
        UserError: a package is missing, or ONNX Runtime refuses the graph.
    """

    def __init__(self, path: Path, *, extensions: bool = False, threads: int = 1) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        # Each input with a default is a warning, and every row option is one.
        options.log_severity_level = 3
        if extensions:
            options.register_custom_ops_library(extensions_library())
        start = time.perf_counter()
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class but this
            raise UserError(
                f"{path.name}: ONNX Runtime {runtime.__version__} refuses it: {error}; export with "
                "another --opset, and report it"
            ) from error
        self.load_seconds = time.perf_counter() - start
        given = self._session.get_inputs()
        self.inputs = {value.name: value for value in given}
        self.options = [value.name for value in self._session.get_overridable_initializers()]
        self.outputs = [value.name for value in self._session.get_outputs()]
        self.text_output = next(
            (v.name for v in self._session.get_outputs() if v.type == "tensor(string)"), ""
        )

    def run(self, feed: Mapping[str, Any]) -> dict[str, Array]:
        """All outputs by name."""
        found = self._session.run(None, dict(feed))
        return dict(zip(self.outputs, found, strict=True))

    def milliseconds(self, feed: Mapping[str, Any], seconds: float = 0.2) -> float:
        """Least time of one call among those that fit into `seconds`, at least three."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            self._session.run(None, dict(feed))
            times.append(time.perf_counter() - start)
        return 1000 * min(times)


def extensions_library() -> str:
    """Path of the onnxruntime-extensions library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import onnxruntime_extensions
    except ImportError:
        raise UserError(
            "the tokenizer inside the graph needs onnxruntime-extensions: pip install "
            '"seqvae[export]", or export with --tokenizer ids'
        ) from None
    path: str = onnxruntime_extensions.get_library_path()
    return path


def need_packages(tokenizer: str) -> None:
    """Refuse to begin what will fail at its end.

    Raises:
        UserError: names the extra to install.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'export needs the package {error.name}: pip install "seqvae[export]"'
        ) from None
    _runtime()
    if tokenizer == "sentencepiece":
        extensions_library()


def _runtime() -> Any:  # noqa: ANN401 (a module)
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            'export compares what it wrote with PyTorch and needs onnxruntime: pip install "seqvae[cpu]"'
        ) from None
    return onnxruntime
