"""A row's answer is its own, whoever is beside it; ONNX's Attention, where it is asked for."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from seqvae import decoders, encoders
from seqvae.data.text import BOS, EOS, PAD
from seqvae.errors import UserError
from seqvae.export.parts import export_parts, step_state
from tests.export.test_parts import SMALL, VOCABULARY, built

Array = np.ndarray[Any, np.dtype[Any]]
ROWS, STEPS = 32, 20
TRANSFORMER = replace(
    SMALL,
    encoder=encoders.Transformer(layers=1, width=16, heads=2),
    decoder=decoders.Transformer(layers=1, width=16, heads=2),
)
GRU = replace(
    SMALL,
    encoder=encoders.Gru(layers=1, width=16),
    decoder=decoders.Gru(layers=1, width=16),
)
CONFIGS = {"transformer": TRANSFORMER, "gru": GRU}


class Parts:
    """The parts of a small model as functions of arrays."""

    def __init__(self, name: str, opset: int = 20, fused: bool = False) -> None:
        model = built(CONFIGS[name])
        self.graphs = export_parts(model, opset=opset, fused_attention=fused)
        self.constants, self.caches = step_state(model)
        self.sessions = {
            name: onnxruntime.InferenceSession(graph.SerializeToString())
            for name, graph in self.graphs.items()
        }

    def run(self, part: str, feeds: Mapping[str, Array]) -> list[Array]:
        found: list[Array] = self.sessions[part].run(None, dict(feeds))
        return found

    def logits(self, z: Array, ids: Array) -> Array:
        """Of every step of `ids` [B, T] but the last, one step after another, [B, T - 1, V]."""
        state = dict(zip([*self.constants, *self.caches], self.run("start", {"z": z}), strict=True))
        steps = []
        for position in range(ids.shape[1] - 1):
            feeds = {"token": ids[:, position : position + 1], "position": np.array(position)}
            logits, *caches = self.run("step", feeds | state)
            state |= dict(zip(self.caches, caches, strict=True))
            steps.append(logits)
        return np.stack(steps, 1)

    def operators(self, part: str) -> set[str]:
        return {node.op_type for node in self.graphs[part].graph.node}


@functools.cache
def exported(name: str) -> Parts:
    return Parts(name)


@pytest.fixture(params=list(CONFIGS))
def parts(request: pytest.FixtureRequest) -> Parts:
    return exported(request.param)


def texts() -> tuple[Array, Array, Array]:
    """ids [B, T], lengths [B] from an empty text to the longest, and z [B, D]."""
    random = np.random.default_rng(2)
    lengths = 2 + np.arange(ROWS) % (STEPS - 1)
    ids = random.integers(5, VOCABULARY, (ROWS, STEPS))
    ids[:, 0] = BOS
    ids[np.arange(ROWS), lengths - 1] = EOS
    ids[np.arange(STEPS) >= lengths[:, None]] = PAD
    return ids, lengths, random.normal(size=(ROWS, SMALL.posterior.dimension)).astype(np.float32)


def test_a_row_alone_is_the_row_in_a_batch(parts: Parts) -> None:
    ids, lengths, z = texts()
    both = {"ids": ids, "lengths": lengths}
    mean, log_variance = parts.run("encoder", both)
    (surprisal,) = parts.run("scorer", both | {"z": z})
    for row, length in enumerate(lengths):
        own = {"ids": ids[row : row + 1, :length], "lengths": lengths[row : row + 1]}
        alone = parts.run("encoder", own)
        np.testing.assert_allclose(alone[0][0], mean[row], rtol=0, atol=1e-6)
        np.testing.assert_allclose(alone[1][0], log_variance[row], rtol=0, atol=1e-6)
        (scored,) = parts.run("scorer", own | {"z": z[row : row + 1]})
        np.testing.assert_allclose(scored[0], surprisal[row, : length - 1], rtol=1e-6, atol=1e-6)
        assert not surprisal[row, length - 1 :].any()


def test_steps_of_one_row_are_those_of_many(parts: Parts) -> None:
    ids, _, z = texts()
    many = parts.logits(z, ids)
    for row in (0, 13, 31):
        alone = parts.logits(z[row : row + 1], ids[row : row + 1])[0]
        np.testing.assert_allclose(alone, many[row], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(alone.argmax(1), many[row].argmax(1))


def test_no_row_at_all(parts: Parts) -> None:
    """ONNX Runtime's own GRU would end the process here, a server's for one."""
    ids, lengths, z = (x[:0] for x in texts())
    assert parts.run("encoder", {"ids": ids, "lengths": lengths})[0].shape == z.shape
    assert parts.logits(z, ids).shape == (0, STEPS - 1, VOCABULARY)
    (surprisal,) = parts.run("scorer", {"ids": ids, "lengths": lengths, "z": z})
    assert surprisal.shape == (0, STEPS - 1)


def test_nothing_to_predict(parts: Parts) -> None:
    ids, _, z = texts()
    feeds = {"ids": ids[:3, :1], "lengths": np.array([1, 1, 1]), "z": z[:3]}
    assert parts.run("scorer", feeds)[0].shape == (3, 0)


@pytest.mark.parametrize("length", [-4, STEPS + 4, 1 << 40])
def test_a_length_that_cannot_be_ends_nothing(parts: Parts, length: int) -> None:
    ids, lengths, _ = texts()
    wrong = np.where(np.arange(ROWS) == 1, length, lengths)
    try:
        (mean, _) = parts.run("encoder", {"ids": ids, "lengths": wrong})
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
        assert "sequence_lens" in str(error)
    else:
        assert np.isfinite(mean).all()


def test_fused_attention_is_asked_for_and_gives_the_same() -> None:
    plain, fused = exported("transformer"), Parts("transformer", 23, fused=True)
    assert "Attention" in fused.operators("step")
    assert not any("Attention" in fused.operators(name) for name in ("encoder", "start", "scorer"))
    assert len(fused.graphs["step"].graph.node) < len(plain.graphs["step"].graph.node)
    onnx.checker.check_model(fused.graphs["step"], full_check=True)
    ids, _, z = texts()
    for rows in (slice(None), slice(1)):
        found, true = fused.logits(z[rows], ids[rows]), plain.logits(z[rows], ids[rows])
        assert np.linalg.norm(found - true) <= 1e-5 * np.linalg.norm(true)


@pytest.mark.parametrize("opset", [18, 20, 22])
def test_older_opsets_have_no_attention(opset: int) -> None:
    with pytest.raises(UserError, match=f"fused_attention needs opset 23 .* opset is {opset}"):
        export_parts(built(TRANSFORMER), opset=opset, fused_attention=True)


def test_an_encoder_reads_the_padding_of_no_row() -> None:
    """Of the model itself, which the graphs copy: what stands in the padding is nothing to it."""
    ids, lengths, _ = (torch.from_numpy(x) for x in texts())
    model = built(TRANSFORMER)
    noisy = torch.where(ids == PAD, 7, ids)
    with torch.no_grad():
        torch.testing.assert_close(
            model.summarise(noisy, lengths), model.summarise(ids, lengths), rtol=0, atol=1e-6
        )
