"""The noise of frames in graphs is that of PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.export.speech_noise import frame_normals, frame_uniforms
from seqvae.export.stitch import Scope
from seqvae.ops.philox import normal
from seqvae.vocoders import GriffinLim

SEEDS = [0, 1, -7, 2**31, 2**32 - 1, 2**63 - 1, -(2**63), 0x123456789ABCDEF]
Array = np.ndarray[Any, np.dtype[Any]]


def graph(build: Callable[[Scope], str], rank: int) -> Callable[..., Array]:
    """A function of seed, first and count."""
    scope = Scope(20)
    scope.reserve(["seed", "first", "count", "y"])
    scope.rename(build(scope), "y")
    inputs = [
        helper.make_tensor_value_info("seed", TensorProto.INT64, ["B", 1]),
        helper.make_tensor_value_info("first", TensorProto.INT64, ["B", 1]),
        helper.make_tensor_value_info("count", TensorProto.INT64, []),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    session = onnxruntime.InferenceSession(
        scope.model(inputs, [output]).SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(seeds: list[int], firsts: list[int], count: int) -> Array:
        feeds = {
            "seed": np.array(seeds)[:, None],
            "first": np.array(firsts)[:, None],
            "count": np.array(count),
        }
        found: Array = session.run(None, feeds)[0]
        return found

    return run


def test_frames_draw_what_the_vocoder_draws() -> None:
    settings = MelSettings(n_fft=64, hop=16, window=64, mels=8)
    vocoder = GriffinLim().build(settings)
    run = graph(lambda s: frame_uniforms(s, "seed", "first", "count", vocoder.noise_width), 3)
    firsts = [0, 5, 2**20, 3, 0, 1, 2, 7]
    found = run(SEEDS, firsts, 6)
    for row, seed, first in zip(found, SEEDS, firsts, strict=True):
        wanted = vocoder.draw(torch.tensor([seed]), 6, first)
        np.testing.assert_array_equal(row, wanted.numpy())
    np.testing.assert_array_equal(run(SEEDS[2:3], firsts[2:3], 6), found[2:3])


@pytest.mark.parametrize(("dimension", "stream"), [(32, 0), (3, 1)])
def test_vectors_have_the_noise_of_their_place(dimension: int, stream: int) -> None:
    run = graph(lambda s: frame_normals(s, "seed", "first", "count", dimension, stream), 3)
    firsts = [0, 5, 7, 3, 0, 1, 2, 100]
    found = run(SEEDS, firsts, 9)
    for row, seed, first in zip(found, SEEDS, firsts, strict=True):
        wanted = normal(torch.tensor([seed]), (first + 9, dimension), stream)[first:]
        np.testing.assert_allclose(row, wanted.numpy(), atol=2e-6)
    far = run([1], [2**40], 2)
    assert far.shape == (1, 2, dimension) and np.isfinite(far).all()
