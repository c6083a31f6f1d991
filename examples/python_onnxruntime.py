"""Say a sentence differently with onnxruntime alone: neither seqvae nor torch is imported.

    python examples/python_onnxruntime.py BUNDLE SENTENCE [SEED]

The model takes texts and writes texts; its tokenizer is inside. Every option has one value for each
row, or one for all, or is left out. The same seed writes the same text in PyTorch, in JavaScript and
in any batch.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import onnxruntime_extensions

N = 5


def main(bundle: str, sentence: str, seed: str = "0") -> None:
    """Print five texts written from around the sentence."""
    session_options = onnxruntime.SessionOptions()
    # Inputs with defaults are worth a warning each to onnxruntime.
    session_options.log_severity_level = 3
    # The tokenizer's operators; a bundle exported with `--tokenizer char` does without.
    session_options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    session = onnxruntime.InferenceSession(
        Path(bundle) / "cpu-fp32" / "model.onnx", session_options
    )
    feeds = {
        "text": np.array([sentence] * N, dtype=object),
        "seed": np.array([[int(seed)]]),
        "sample": np.arange(N).reshape(N, 1),
        "temperature": np.array([[0.7]], dtype=np.float32),
    }
    for text in session.run(["written"], feeds)[0]:
        print(text)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
