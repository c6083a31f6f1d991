"""The README of a bundle of frames."""

from seqvae.export.bundle_manifest import Manifest


def frames_readme(manifest: Manifest) -> str:
    """How to call the bundle.

    Args:
        manifest: of the bundle.
    """
    facts = manifest.frames
    assert facts is not None
    variant, features, longest = manifest.default_variant, facts.features, facts.longest
    made = f"raw numbers divided by {facts.divide:g}" if facts.divide != 1.0 else "as they were"
    if facts.binarise is not None:
        made += f", then 1 above {facts.binarise:g} and else 0"
    reconstruct, sample, label, labels = "frames", "5", "", ""
    if manifest.labels:
        some = ", ".join(manifest.labels[:20]) + (", ..." if len(manifest.labels) > 20 else "")
        first, last = manifest.labels[0], manifest.labels[-1]
        reconstruct = f"frames, labels=[{first!r}] * 2, targets=[{last!r}] * 2"
        sample = f"5, labels=[{first!r}] * 5"
        label = ', "label": numpy.array([0, 0])'
        labels = f"""
The model is told the label of each sequence: a number in the list {some}. `target` is the label under which
`model.onnx` writes a sequence; left out or -1, it is the one under which it was read. Another keeps what the
label does not say: the slant of a digit, as another digit.
"""
    return f"""# A seqvae bundle: frames

One call of `{variant}/model.onnx` takes sequences of at most {longest} frames of {features} numbers and writes them
again from what it has understood of them, a vector of {manifest.latent} numbers for each. The numbers are
the corpus' own: {made}; they lie from {facts.least:g} to {facts.greatest:g}. With seqvae (onnxruntime and numpy, no torch):

```python
import numpy
from seqvae.serving import FramesEngine
engine = FramesEngine("this folder")
frames = [numpy.zeros(({longest}, {features})), numpy.zeros(({max(1, longest // 2)}, {features}))]  # your sequences
again = engine.reconstruct({reconstruct})
new = engine.sample({sample})
```

With ONNX Runtime alone, in Python or any language it has:

```python
import numpy, onnxruntime
session = onnxruntime.InferenceSession("{variant}/model.onnx")
frames = numpy.zeros((2, {longest}, {features}), numpy.float32)  # your sequences
written, z = session.run(None, {{"frames": frames{label}}})
```

`lengths` says how many frames of each row are real; what is written is 0 behind them. `noise_scale` writes from around
what was understood, by `seed` and `sample`; the same seed gives the same frames in PyTorch and in any batch.
`encoder.onnx`, `decoder.onnx` and `generate.onnx` (new sequences, by `seed`) are the same in parts.
{labels}
`seqvae.json` says what every option means, how far the graphs are from PyTorch, and the sha256 of every file;
`golden/` holds sequences with what becomes of them.
"""
