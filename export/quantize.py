"""cpu-int8: weights of 7 bits and activations of 8, multiplied as integers.

Each row of the activations has its own scale. With one scale for a whole batch, which
`onnxruntime.quantization.quantize_dynamic` makes, a text would depend on the texts beside it. Weights
have one scale for each output and 63 levels on either side: sums of two products of full 8 bits
overflow the 16-bit adder of x86 processors without VNNI, and the same bundle would answer differently
there. So the integers are the same on every machine, and in WebAssembly.

The matrix of the token embedding is stored once, for the look-up and for the logits, which have most of
the error: where that is too much, the recipe `mixed` keeps this one matrix (and the part `start`) in
float16, which a CPU multiplies in float32. Where that is too much still, `stored` keeps all weights in 8
bits and multiplies them in float32, at its speed: a runtime converts them once, when it loads them.

Blocks of weights (com.microsoft:MatMulNBits) are nearer to float32, but ONNX Runtime 1.32 prepares such
weights only in the graph that uses them: in the body of our loops a token takes 25 times as long.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from seqvae.export.half import half_lookup, half_product
from seqvae.export.products import Array, Lookup, Product, Rewriter, replace_products

if TYPE_CHECKING:
    import onnx

Recipe = Literal["rows", "mixed", "stored"]
"""Tried in this order."""
LEVELS = 63
"""Greatest weight: 2 * 63 * 255 fits into 16 bits."""
STORED_LEVELS = 127
"""Greatest weight where no integers are added."""
ACTIVATION = 127
"""Greatest activation on either side of zero."""
ZERO = 128
"""What stands for zero among unsigned levels."""
FRACTIONS = np.linspace(0.7, 1.0, 13)
"""Parts of the greatest weight that are tried as the range: clipping it may cost less than the coarser
steps that it would force on the others."""
_FLOAT = 1  # ONNX's number of the type


def quantize_int8(
    model: "onnx.ModelProto", vocabulary: int, recipe: Recipe = "rows"
) -> "onnx.ModelProto":
    """A graph with the same inputs and outputs (float32) and under a third of the weights' bytes.

    Args:
        model: one of our parts, its weights inside; quantise parts before they are stitched, for
            bodies of loops are left as they are.
        vocabulary: number of pieces; tables of so many rows are token embeddings.
        recipe: see the module.
    """
    if recipe == "rows":
        return replace_products(model, vocabulary, _product, _lookup)
    if recipe == "stored":
        return replace_products(model, vocabulary, _stored_product, _stored_lookup)

    def product(writer: Rewriter, found: Product, weight: Array) -> None:
        is_embedding = found.by_output and len(weight) == vocabulary
        (half_product if is_embedding else _product)(writer, found, weight)

    return replace_products(model, vocabulary, product, half_lookup)


def levels_of(weight: Array, greatest: int = LEVELS) -> tuple[Array, Array]:
    """Weights as integers.

    Args:
        weight: rows that each get a scale, shape [N, K], float32.
        greatest: integer on either side of zero.

    Returns:
        int8 [N, K] in [-greatest, greatest] and the scale of each row, float32 [N]; their product is
        nearest to the weights, in squares, among the ranges tried.
    """
    peak = np.abs(weight).max(1)
    peak[peak == 0] = 1.0
    best = np.full(len(weight), np.inf, np.float32)
    scale = np.ones(len(weight), np.float32)
    for fraction in FRACTIONS:
        tried = (peak * (fraction / greatest)).astype(np.float32)
        error = np.square(_rounded(weight, tried, greatest) * tried[:, None] - weight).sum(1)
        scale = np.where(error < best, tried, scale)
        best = np.minimum(error, best)
    return _rounded(weight, scale, greatest).astype(np.int8), scale


def _rounded(weight: Array, scale: Array, greatest: int) -> Array:
    rounded: Array = np.clip(np.round(weight / scale[:, None]), -greatest, greatest)
    return rounded


def _rows(
    writer: Rewriter, name: str, weight: Array, by_output: bool, greatest: int = LEVELS
) -> tuple[str, str]:
    """Names of the integers, laid out as the weight was, and of the scales [N]."""
    integers, scales = f"{name}_int8", f"{name}_scale"
    if integers not in writer.constants:
        levels, scale = levels_of(weight if by_output else weight.T, greatest)
        writer.constant(integers, np.ascontiguousarray(levels if by_output else levels.T))
        writer.constant(scales, scale)
    return integers, scales


def _product(writer: Rewriter, found: Product, weight: Array) -> None:
    integers, scales = _rows(writer, found.weight, weight, found.by_output)
    # Folded with the scale of the activations' levels, a product less at every step.
    both = writer.constant(
        f"{scales}_levels", (writer.constants[scales] / ACTIVATION).astype(np.float32)
    )
    last = writer.constant("int8/last_axis", np.array([-1], np.int64))
    tiny = writer.constant("int8/tiny", np.array(1e-20, np.float32))
    step = writer.constant("int8/step", np.array(1 / ACTIVATION, np.float32))
    zero = writer.constant("int8/zero", np.array(ZERO, np.uint8))
    peak = writer.add("ReduceMax", writer.add("Abs", found.x), last, keepdims=1)
    peak = writer.add("Max", peak, tiny)
    levels = writer.add("QuantizeLinear", writer.add("Div", found.x, peak), step, zero)
    if found.by_output:  # ONNX Runtime does this once, when it loads, in bodies of loops too
        integers = writer.add("Transpose", integers, perm=[1, 0])
    sums = writer.add("MatMulInteger", levels, integers, zero)
    # Scales one after the other: their product first is what ONNX Runtime 1.32 fuses into
    # MatMulIntegerToFloat, which takes the scale of the first row for all rows.
    scaled = writer.add("Mul", writer.add("Cast", sums, to=_FLOAT), both)
    if found.bias:
        writer.add("Add", writer.add("Mul", scaled, peak), found.bias, name=found.y)
    else:
        writer.add("Mul", scaled, peak, name=found.y)


def _stored_product(writer: Rewriter, found: Product, weight: Array) -> None:
    integers, scales = _rows(writer, found.weight, weight, found.by_output, STORED_LEVELS)
    # All of this is constant: ONNX Runtime computes it once, when it loads, in bodies of loops too.
    matrix = writer.add("Cast", integers, to=_FLOAT)
    if found.by_output:
        matrix = writer.add("Transpose", matrix, perm=[1, 0])
    matrix = writer.add("Mul", matrix, scales)
    if found.bias:
        writer.add("Add", writer.add("MatMul", found.x, matrix), found.bias, name=found.y)
    else:
        writer.add("MatMul", found.x, matrix, name=found.y)


def _stored_lookup(writer: Rewriter, found: Lookup, table: Array) -> None:
    _rows(writer, found.table, table, True, STORED_LEVELS)
    _lookup(writer, found, table)


def _lookup(writer: Rewriter, found: Lookup, table: Array) -> None:
    integers, scales = _rows(writer, found.table, table, True)
    last = writer.constant("int8/last_axis", np.array([-1], np.int64))
    rows = writer.add("Cast", writer.add("Gather", integers, found.ids), to=_FLOAT)
    scale = writer.add("Unsqueeze", writer.add("Gather", scales, found.ids), last)
    writer.add("Mul", rows, scale, name=found.y)
