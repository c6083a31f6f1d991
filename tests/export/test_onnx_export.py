"""One module to one graph: what may be relied on, whatever is exported."""

import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.export.onnx_export import OPSETS, export_module

Array = np.ndarray[Any, np.dtype[Any]]
X = {"x": torch.randn(3, 4)}
ROWS = {"x": {0: "B"}}


class Doubled(nn.Module):
    """x W and twice that."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        once = self.dropout(self.linear(x))
        return once, 2 * once


class Branching(nn.Module):
    """Decides by a value, which no graph of torch's does."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class FixedRows(nn.Module):
    """Works for 3 rows only."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(3, 4) + 1


class Joined(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first - second


def run(model: onnx.ModelProto, **inputs: Tensor) -> list[Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: list[Array] = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return found


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_axes_have_any_size(rows: int, doubled: onnx.ModelProto, module: Doubled) -> None:
    x = torch.randn(rows, 4)
    once, twice = run(doubled, x=x)
    with torch.no_grad():
        true = module.linear(x)  # in evaluation mode: without dropout
    np.testing.assert_allclose(once, true, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(twice, 2 * true, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def module() -> Doubled:
    return Doubled()


@pytest.fixture(scope="module")
def doubled(module: Doubled) -> onnx.ModelProto:
    return export_module(module, X, ["once", "twice"], ROWS)


def test_names_are_those_given(doubled: onnx.ModelProto) -> None:
    graph = doubled.graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"x": ["B", 4], "once": ["B", 2], "twice": ["B", 2]}
    assert {entry.domain: entry.version for entry in doubled.opset_import} == {"": 20}


def test_the_same_module_gives_the_same_bytes(doubled: onnx.ModelProto, module: Doubled) -> None:
    again = export_module(module, X, ["once", "twice"], ROWS)
    assert again.SerializeToString(deterministic=True) == doubled.SerializeToString(
        deterministic=True
    )


def test_nothing_tells_where_it_was_made(doubled: onnx.ModelProto) -> None:
    content = doubled.SerializeToString()
    for word in (b".py", b"/home", b"/tmp", b"seqvae.export", b"Traceback"):
        assert word not in content


def test_nothing_is_said(
    module: Doubled, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    trace = logging.getLogger("torch.__trace")
    handlers = list(trace.handlers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_module(module, X, ["once", "twice"], ROWS)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert trace.handlers == handlers


def test_one_tensor_given_twice_is_two_inputs() -> None:
    same = torch.randn(3, 4)
    dynamic = {"first": {0: "B"}, "second": {0: "B"}}
    model = export_module(Joined(), {"first": same, "second": same}, ["y"], dynamic)
    found = run(model, first=torch.full((2, 4), 5.0), second=torch.full((2, 4), 2.0))
    np.testing.assert_array_equal(found[0], np.full((2, 4), 3.0))


@pytest.mark.parametrize("opset", [17, 26, 0])
def test_other_opsets_are_refused(opset: int) -> None:
    with pytest.raises(UserError, match=f"opset is {opset}; it must be 18 to 25"):
        export_module(Doubled(), X, ["once", "twice"], ROWS, opset=opset)
    assert opset not in OPSETS


def test_a_module_that_torch_cannot_export_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot export Branching at opset 20: \S"):
        export_module(Branching(), X, ["y"], ROWS)


def test_an_axis_that_became_a_constant_is_refused() -> None:
    with pytest.raises(UserError, match="FixedRows"):
        export_module(FixedRows(), X, ["y"], ROWS)
