"""How it sounds without anything to compare with: DNSMOS P.835, opinions of 1 to 5.

Reddy, Gopal and Cutler, "DNSMOS P.835", ICASSP 2022. Windows of 9.01 s every second, shorter sounds are repeated, as
its authors' code does. It hears noise and breakage and is blind to clean robotic speech.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.evaluation.referees.sound import RATE, Samples

NEEDS = ("speechmos", "onnxruntime")
WINDOW = int(9.01 * RATE)
# The network's raw scores -> opinions: polynomials that the authors fitted, highest power first.
FITTED = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def judge(sound: Samples) -> dict[str, Any]:
    """`sig` (the speech), `bak` (the background) and `ovrl` (all of it)."""
    repeats = -(-WINDOW // len(sound))
    whole = np.clip(np.tile(sound, repeats), -1.0, 1.0).astype(np.float32)
    begins = range(0, len(whole) - WINDOW + 1, RATE) if repeats == 1 else [0]
    answers = [_network().run(None, {"input_1": whole[None, b : b + WINDOW]})[0][0] for b in begins]
    raw = np.asarray(answers, np.float64).mean(axis=0).tolist()
    return {
        name: float(np.polyval(fit, score))
        for (name, fit), score in zip(FITTED.items(), raw, strict=True)
    }


@lru_cache(maxsize=1)
def _network() -> Any:  # noqa: ANN401
    import importlib.util

    import onnxruntime

    found = importlib.util.find_spec("speechmos")
    assert found is not None and found.origin is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(found.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
