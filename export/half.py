"""cuda-fp16: weights stored and multiplied in float16, all else in float32.

Only the operands and the result of a product with weights are rounded to float16. Normalisation,
softmax, KL, log-probabilities and their sums, and the caches stay in float32: nothing there can
overflow, and no cache is converted at every step.
"""

from typing import TYPE_CHECKING

import numpy as np

from seqvae.errors import UserError
from seqvae.export.products import Array, Lookup, Product, Rewriter, replace_products

if TYPE_CHECKING:
    import onnx

_FLOAT, _HALF = 1, 10


def halve(model: "onnx.ModelProto", vocabulary: int) -> "onnx.ModelProto":
    """A graph with the same inputs and outputs (float32) and half the weights' bytes.

    Args:
        model: one of our parts, its weights inside.
        vocabulary: number of pieces; tables of so many rows are token embeddings.

    Raises:
        UserError: a weight is beyond float16.
    """
    return replace_products(model, vocabulary, _product, half_lookup)


def store_half(model: "onnx.ModelProto", vocabulary: int) -> "onnx.ModelProto":
    """A graph whose weights are stored in float16 and multiplied in float32: for CPUs, to save bytes.

    Args:
        model: one of our parts, its weights inside.
        vocabulary: number of pieces.

    Raises:
        UserError: a weight is beyond float16.
    """
    return replace_products(model, vocabulary, half_product, half_lookup)


def _stored(writer: Rewriter, name: str, weight: Array) -> str:
    if not np.abs(weight).max(initial=0.0) <= np.finfo(np.float16).max:
        raise UserError(
            f"weight {name} has values beyond 65504, which float16 cannot hold; export other "
            "variants: --variants cpu-fp32 cpu-int8"
        )
    return writer.constant(f"{name}_half", weight.astype(np.float16))


def _product(writer: Rewriter, found: Product, weight: Array) -> None:
    half = _stored(writer, found.weight, weight)
    if found.by_output:
        half = writer.add("Transpose", half, perm=[1, 0])
    product = writer.add("MatMul", writer.add("Cast", found.x, to=_HALF), half)
    if found.bias:
        writer.add("Add", writer.add("Cast", product, to=_FLOAT), found.bias, name=found.y)
    else:
        writer.add("Cast", product, name=found.y, to=_FLOAT)


def half_lookup(writer: Rewriter, found: Lookup, table: Array) -> None:
    """A look-up in a table of float16."""
    rows = writer.add("Gather", _stored(writer, found.table, table), found.ids)
    writer.add("Cast", rows, name=found.y, to=_FLOAT)


def half_product(writer: Rewriter, found: Product, weight: Array) -> None:
    """A product in float32 with a weight stored in float16, converted once, when a runtime loads it."""
    matrix = writer.add("Cast", _stored(writer, found.weight, weight), to=_FLOAT)
    if found.by_output:
        matrix = writer.add("Transpose", matrix, perm=[1, 0])
    if found.bias:
        writer.add("Add", writer.add("MatMul", found.x, matrix), found.bias, name=found.y)
    else:
        writer.add("MatMul", found.x, matrix, name=found.y)
