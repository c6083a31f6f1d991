"""Triton's model: the echo of tests/serving/stub.py. Runs inside Triton's Python backend."""

import json
import sys
import time
from pathlib import Path

PACKAGES = Path(__file__).with_name("packages")
if PACKAGES.exists():
    # At the import of this file: the backend itself imports numpy next, and reads strings wrongly
    # under numpy 2.
    sys.path.insert(0, PACKAGES.read_text())


class TritonPythonModel:
    """What the backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters of config.pbtxt."""
        parameters = json.loads(args["model_config"])["parameters"]
        self.seconds = float(parameters["seconds"]["string_value"])

    def execute(self, requests: list) -> list:  # type: ignore[type-arg]
        """Answer a batch."""
        time.sleep(self.seconds)
        return [self._one(request) for request in requests]

    def _one(self, request: object) -> object:
        import numpy as np
        import triton_python_backend_utils as pb  # type: ignore[import-not-found]

        def column(name: str, default: object, count: int) -> list:  # type: ignore[type-arg]
            tensor = pb.get_input_tensor_by_name(request, name)
            return [default] * count if tensor is None else tensor.as_numpy()[:, 0].tolist()

        texts = [text.decode() for text in column("text", b"", 1)]
        if any("boom" in text for text in texts):
            return pb.InferenceResponse(output_tensors=[], error=pb.TritonError("boom"))
        defaults = (("seed", 0), ("temperature", 0.0), ("beam", False))
        columns = (column(name, value, len(texts)) for name, value in defaults)
        rows = zip(texts, *columns, strict=True)
        out = [f"{text}|{seed}|{temperature:g}|{beam}" for text, seed, temperature, beam in rows]
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = 5
        outputs = {
            "text": np.array([[text.encode()] for text in out], dtype=object),
            "ids": ids,
            "log_prob": np.array([[-len(text)] for text in texts], np.float32),
            "complete": np.ones((len(texts), 1), bool),
        }
        return pb.InferenceResponse(output_tensors=[pb.Tensor(*one) for one in outputs.items()])
