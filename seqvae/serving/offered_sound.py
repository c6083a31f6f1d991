"""The models that a bundle of speech offers over the Open Inference Protocol: its graphs, tensor for tensor.

`model`    sound and options in, sound out: what `model.onnx` computes, in one call
`score`    sound in, nats of its frames out
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqvae.export.bundle_manifest import SPEECH_OPTIONS, Range
from seqvae.export.bundle_speech import SpeechFacts
from seqvae.serving.limits import Limits
from seqvae.serving.offered import Offered, Read
from seqvae.serving.refusal import refuse
from seqvae.serving.service import Array, Key, SoundEngine
from seqvae.serving.sounds import TOGETHER, Outputs, SoundRow

_RANGES = SPEECH_OPTIONS | {
    "gain": Range(0.0, 0.0, 1e6, "float32"),
    "first": Range(0, 0, 1 << 40, "int64"),
    "sample": Range(0, 0, 2**31 - 2, "int64"),
}
_SOUNDS = ("audio", "reference")


def offered_sound(engine: SoundEngine) -> dict[str, Offered]:
    """The graphs of an open bundle, by name."""
    voices = engine.vectors()
    return {
        part: Offered(part, inputs, outputs, _reader(part, voices.facts, len(voices.named)), _write)
        for part, (inputs, outputs) in engine.tensors().items()
    }


def _reader(part: str, facts: SpeechFacts, voices: int) -> Read:
    def read(
        tensors: dict[str, Array], parameters: Mapping[str, Any], limits: Limits
    ) -> tuple[Key, list[Any]]:
        for name, values in tensors.items():
            _check(name, values, facts.rate, voices)
        return (part,), [
            SoundRow(audio, {name: v[i] for name, v in tensors.items() if name != "audio"}, part)
            for i, audio in enumerate(tensors["audio"])
        ]

    return read


def _check(name: str, values: Array, rate: int, voices: int) -> None:
    """Refuse values that no graph should be given."""
    if not np.isfinite(values).all():
        refuse(f"input '{name}' holds NaN or infinity")
    if name in _SOUNDS:
        rows, samples = values.shape
        if not samples:
            refuse(f"input '{name}' has no samples")
        if rows * samples > TOGETHER * rate:
            refuse(
                f"input '{name}' has {rows * samples / rate:.0f} s of sound in all rows; at most "
                f"{TOGETHER:g} in one request (POST longer sounds to /v1/convert)",
                413,
            )
    elif name in _RANGES:
        low, high = _RANGES[name].low, _RANGES[name].high
        high = voices - 1 if name == "speaker" else high
        assert high is not None
        if not ((low <= values) & (values <= high)).all():
            refuse(f"input '{name}' must be {low:g} to {high:g}")


def _write(results: Sequence[Outputs]) -> dict[str, Array]:
    return {name: np.stack([one[name] for one in results]) for name in results[0]}
