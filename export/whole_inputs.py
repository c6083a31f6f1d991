"""Inputs and outputs of whole graphs: their descriptions, defaults, and options for every row."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from seqvae.export.stitch import Scope, State

if TYPE_CHECKING:
    import onnx


def every_row(scope: Scope, names: Iterable[str], count: str, what: str = "text") -> State:
    """Every option for every row, [B, 1].

    Args:
        scope: where the nodes go.
        names: of inputs [1, 1] or [B, 1].
        count: the number of rows B, int64 [1].
        what: a row is one of these, for the runtime's error.
    """
    shape = scope.add("Concat", count, scope.constant([1]), axis=0)
    # Too many rows are expanded to nothing of this shape: the runtime's error has the node's name.
    return {
        name: scope.add(
            "Reshape",
            scope.add("Expand", name, shape),
            shape,
            name=f"{name} has 1 row or one for each {what}",
        )
        for name in names
    }


def value_info(name: str, kind: int, shape: "list[int | str]") -> "onnx.ValueInfoProto":
    """An input or output, given ONNX's number of its element type."""
    from onnx import ValueInfoProto, helper

    value: ValueInfoProto = helper.make_tensor_value_info(name, kind, shape)
    return value


def default(
    name: str, value: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"
) -> "onnx.TensorProto":
    """The value of an input that is not given."""
    from onnx import TensorProto, numpy_helper

    tensor: TensorProto = numpy_helper.from_array(value, name)
    return tensor
