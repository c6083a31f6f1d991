"""The README of a speech bundle."""

from seqvae.export.bundle_manifest import Manifest


def speech_readme(manifest: Manifest) -> str:
    """How to call the bundle.

    Args:
        manifest: of the bundle.
    """
    speech = manifest.speech
    assert speech is not None
    rate, variant = speech.rate, manifest.default_variant
    voice = manifest.labels[0]
    some = ", ".join(manifest.labels[:8]) + (", ..." if len(manifest.labels) > 8 else "")
    reference = ""
    if speech.style:
        reference = (
            "\nA voice may also be heard in a recording: give it as `reference`. `strength` below 1 "
            "stays nearer to the source's own voice, above 1 goes beyond the wanted one.\n"
        )
    size = manifest.variants[variant].verify["model_megabytes"]
    return f"""# A seqvae bundle: speech

One call of `{variant}/model.onnx` takes sound and gives the same words in another voice: mono float32 at
{rate} Hz, of any length, several sounds of one length at a time. Voices: {some} (`voices.json` holds
their vectors). With seqvae, which reads files of any rate (onnxruntime and numpy, no torch):

```python
from seqvae.data.speech.audio import write_audio
from seqvae.serving import Converter
sound = Converter("this folder").convert("source.wav", voice={voice!r})
write_audio("converted.wav", sound.samples, sound.rate)
```

With ONNX Runtime alone, in Python or any language it has:

```python
import numpy, onnxruntime
session = onnxruntime.InferenceSession("{variant}/model.onnx")
audio = numpy.zeros((1, {rate}), numpy.float32)  # your sound
converted, frames, voice = session.run(None, {{"audio": audio, "speaker": numpy.array([[0]])}})
```

`seqvae serve` puts it behind HTTP, with a page to record and listen:

```
curl --form sound=@source.wav --form 'voice={voice}' --output converted.wav http://127.0.0.1:8000/v1/convert
```
{reference}
`seqvae.json` says what every option means, how far the
graphs are from PyTorch, and the sha256 of every file; `golden/` holds sounds with what becomes of them.

There is one variant, in 32-bit floats, for processors and GPUs. Convolutions in 8 bits are slower than in
32 in ONNX Runtime on processors, and 16 bits would make a file of {size:.0f} MB smaller, not faster.
"""
