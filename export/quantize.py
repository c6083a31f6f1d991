"""cpu-int8: weights of 7 bits and activations of 8, multiplied as integers.

Each row of the activations has its own scale. With one scale for a whole batch, which
`onnxruntime.quantization.quantize_dynamic` makes, a text would depend on the texts beside it. Weights
have one scale for each output and 63 levels on either side: sums of two products of full 8 bits
overflow the 16-bit adder of x86 processors without VNNI, and the same bundle would answer differently
there. So the integers are the same on every machine, and in WebAssembly.

The matrix of the token embedding is stored once, for the look-up and for the logits, which have most of
the error: where that is too much, the recipe `mixed` keeps this one matrix (and the part `start`) in
float16, which a CPU multiplies in float32.

Blocks of weights (com.microsoft:MatMulNBits) are nearer to float32, but ONNX Runtime 1.32 prepares such
weights only in the graph that uses them: in the body of our loops a token takes 25 times as long.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from seqvae.export.half import half_lookup, half_product
from seqvae.export.products import Array, Lookup, Product, Rewriter, replace_products

if TYPE_CHECKING:
    import onnx

Recipe = Literal["rows", "mixed"]
LEVELS = 63
"""Greatest weight: 2 * 63 * 255 fits into 16 bits."""
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

    def product(writer: Rewriter, found: Product, weight: Array) -> None:
        is_embedding = found.by_output and len(weight) == vocabulary
        (half_product if is_embedding else _product)(writer, found, weight)

    return replace_products(model, vocabulary, product, half_lookup)


def levels_of(weight: Array) -> tuple[Array, Array]:
    """Weights as integers.

    Args:
        weight: rows that each get a scale, shape [N, K], float32.

    Returns:
        int8 [N, K] in [-LEVELS, LEVELS] and the scale of each row, float32 [N]; their product is
        nearest to the weights, in squares, among the ranges tried.
    """
    peak = np.abs(weight).max(1)
    peak[peak == 0] = 1.0
    best = np.full(len(weight), np.inf, np.float32)
    scale = np.ones(len(weight), np.float32)
    for fraction in FRACTIONS:
        tried = (peak * (fraction / LEVELS)).astype(np.float32)
        error = np.square(_rounded(weight, tried) * tried[:, None] - weight).sum(1)
        scale = np.where(error < best, tried, scale)
        best = np.minimum(error, best)
    return _rounded(weight, scale).astype(np.int8), scale


def _rounded(weight: Array, scale: Array) -> Array:
    rounded: Array = np.clip(np.round(weight / scale[:, None]), -LEVELS, LEVELS)
    return rounded


def _rows(writer: Rewriter, name: str, weight: Array, by_output: bool) -> tuple[str, str]:
    """Names of the integers, laid out as the weight was, and of the scales [N]."""
    integers, scales = f"{name}_int8", f"{name}_scale"
    if integers not in writer.constants:
        levels, scale = levels_of(weight if by_output else weight.T)
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


def _lookup(writer: Rewriter, found: Lookup, table: Array) -> None:
    integers, scales = _rows(writer, found.table, table, True)
    last = writer.constant("int8/last_axis", np.array([-1], np.int64))
    rows = writer.add("Cast", writer.add("Gather", integers, found.ids), to=_FLOAT)
    scale = writer.add("Unsqueeze", writer.add("Gather", scales, found.ids), last)
    writer.add("Mul", rows, scale, name=found.y)
