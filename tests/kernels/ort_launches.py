"""Run the CUDA operators on a driver that writes down its calls; started by test_ort.py with that driver on its path."""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np

from tests.kernels import test_ort


def main(library: str) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    fake = ctypes.CDLL("libcuda.so.1")
    fake.fake_notes.restype = ctypes.c_char_p
    test_ort.library = lambda: Path(library)  # type: ignore[assignment]
    mean = np.zeros((2, 33, 64), dtype=np.float32)
    given = {"mean": mean, "log_variance": mean}
    seeded = {**given, "seed": np.array([3])}
    full = {**seeded, "offset": np.array([4]), "noise_scale": np.array([0.5], dtype=np.float32)}
    kinds = {"seed": "int64", "offset": "int64", "noise_scale": "float"}
    found = {}
    for name, op, inputs, attributes, parameters in (
        ("kl", "KLRows", given, {"free_bits": 1.5}, 8),
        ("one", "SampleLatent", seeded, {}, 13),
        ("many", "SampleLatent", full, {"samples": 3}, 13),
        ("narrow", "KLRows", {key: value[..., :63].copy() for key, value in given.items()}, {}, 8),
    ):
        fake.fake_parameters(parameters)
        types = {key: kinds.get(key, "float") for key in inputs}
        session = test_ort.session(op, types, **attributes)
        try:
            session.run(None, inputs)
            found[name] = fake.fake_notes().decode().splitlines()[-1]
        except InvalidArgument as error:
            found[name] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
