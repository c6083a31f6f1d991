"""Write sequences of frames again with onnxruntime alone: neither seqvae nor torch is imported.

    python examples/python_frames.py BUNDLE SEQUENCES.npy RESULT.npy [LABEL [TARGET]]

SEQUENCES is an array [N, T, F] of numbers as the corpus was prepared from, such as digits of T rows of F pixels; RESULT
is what the model has understood of them, in the corpus' own numbers: repaired, where it is a denoiser. A
conditional model is told that all are a LABEL, and writes them as a TARGET: 3s in the same hand as 8s.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(bundle: str, source: str, result: str, label: str = "", target: str = "") -> None:
    """Write all sequences of a file again."""
    document = json.loads((Path(bundle) / "seqvae.json").read_text(encoding="utf-8"))
    facts, labels = document["frames"], document["labels"]

    frames = (np.load(source) / facts["divide"]).astype(np.float32)
    if facts["binarise"] is not None:
        frames = (frames > facts["binarise"]).astype(np.float32)
    if frames.ndim != 3 or frames.shape[1] > facts["longest"]:
        sys.exit(f"{source} must be [N, T, F] with T at most {facts['longest']}")
    feeds = {"frames": frames}
    if labels:
        unknown = [name for name in (label, target or label) if name not in labels]
        if unknown:
            sys.exit(f"no label {unknown[0]!r}; there are {', '.join(labels)}")
        # A label a sequence; a target a sequence, or one for all.
        feeds["label"] = np.full(len(frames), labels.index(label))
        feeds["target"] = np.array([labels.index(target or label)])

    options = onnxruntime.SessionOptions()
    # Inputs with defaults are worth a warning each to onnxruntime.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        Path(bundle) / document["default_variant"] / "model.onnx", options
    )
    written, z = session.run(["written", "z"], feeds)

    np.save(result, written)
    error = np.square(written - frames).mean()
    print(f"{result}: {len(frames)} sequences from {z.shape[1]} numbers each, error {error:.4f}")


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
