"""The loudness that a graph measures is that of `seqvae.data.speech`."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from seqvae.data.speech.energy import energy_of
from seqvae.data.speech.loudness import gain_of
from seqvae.export.speech_loudness import loudness_gain
from seqvae.export.stitch import Array, Scope

RATE = 16000
Measure = Callable[[Array], tuple[Array, Array]]


@pytest.fixture(scope="module")
def measure() -> Measure:
    """Gain and whether anything is heard, of sounds [B, N]."""
    scope = Scope(20)
    scope.reserve(["audio", "gain", "heard"])
    for value, name in zip(loudness_gain(scope, "audio", RATE), ("gain", "heard"), strict=True):
        scope.rename(value, name)
    audio = helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["B", "N"])
    gain = helper.make_tensor_value_info("gain", TensorProto.FLOAT, ["B", 1])
    heard = helper.make_tensor_value_info("heard", TensorProto.BOOL, ["B", 1])
    session = onnxruntime.InferenceSession(
        scope.model([audio], [gain, heard]).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    return lambda sound: tuple(session.run(None, {"audio": sound}))


def phrases(count: int, level: float, floor: float, seed: int) -> Array:
    """Noise that comes and goes over noise that stays, float32 [N]."""
    draw = np.random.default_rng(seed)
    loud = np.repeat(draw.uniform(size=count // 4000 + 1) > 0.4, 4000)[:count]
    noise = draw.standard_normal((2, count)).astype(np.float32)
    sound: Array = (level * noise[0] * loud + floor * noise[1]).astype(np.float32)
    return sound


@pytest.mark.parametrize("length", [1, 159, 160, 161, 320, 321, 4800, 16000, 50_001])
@pytest.mark.parametrize(("level", "floor"), [(0.1, 1e-3), (0.02, 0.01), (0.0, 0.1), (1e-5, 0.0)])
def test_it_is_the_loudness_of_training(
    measure: Measure, length: int, level: float, floor: float
) -> None:
    both = np.stack([phrases(length, level, floor, seed) for seed in (0, 1)])
    gain, heard = measure(both)
    for row, one, sound in zip(gain, heard, both, strict=True):
        energy = energy_of(sound, RATE)
        assert one[0] == (not energy.silent)
        assert row[0] == pytest.approx(gain_of(energy), rel=1e-4)
