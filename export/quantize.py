"""cpu-int8: weights of 8 bits, multiplied as integers; the same text alone and in a batch.

Two recipes, both with activations quantised on the fly, each row by itself. With one scale for a
whole batch, which `onnxruntime.quantization.quantize_dynamic` makes, a text would depend on the
texts beside it.

`blocks`: 32 neighbouring weights share a scale (com.microsoft:MatMulNBits), one operator a product. The
most exact, and the fastest for one text.

`rows`: an output's weights share a scale, of 63 levels on either side: sums of two products of full 8
bits overflow the 16-bit adder of x86 processors without VNNI. Standard operators only, fast in batches
and in WebAssembly, where `blocks` is slow; about twice as far from float32, for some models too far.

The matrix of the token embedding is stored once, for the look-up and for the logits.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from seqvae.export.products import Array, Lookup, Product, Rewriter, replace_products

if TYPE_CHECKING:
    import onnx

Recipe = Literal["blocks", "rows"]
BLOCK = 32
LEVELS = 63
"""Greatest weight of `rows`: 2 * 63 * 255 fits into 16 bits."""
ACTIVATION = 127
"""Greatest activation on either side of zero."""
ZERO = 128
"""What stands for zero among unsigned levels."""
FRACTIONS = np.linspace(0.7, 1.0, 13)
"""Parts of the greatest weight that are tried as the range: clipping it may cost less than the coarser
steps that it would force on the others."""
_FLOAT = 1  # ONNX's number of the type
_MICROSOFT = "com.microsoft"


def quantize_int8(
    model: "onnx.ModelProto", vocabulary: int, recipe: Recipe = "blocks"
) -> "onnx.ModelProto":
    """A graph with the same inputs and outputs (float32) and under a third of the weights' bytes.

    Args:
        model: one of our parts, its weights inside; quantise parts before they are stitched, for
            bodies of loops are left as they are.
        vocabulary: number of pieces; tables of so many rows are token embeddings.
        recipe: see the module.
    """
    if recipe == "rows":
        return replace_products(model, vocabulary, _product_by_rows, _lookup_by_rows)
    changed = replace_products(model, vocabulary, _product_by_blocks, _lookup_by_blocks)
    if not any(entry.domain == _MICROSOFT for entry in changed.opset_import):
        changed.opset_import.add(domain=_MICROSOFT, version=1)
    return changed


def levels_of(weight: Array, levels: int = LEVELS) -> tuple[Array, Array]:
    """Weights as integers.

    Args:
        weight: rows that each get a scale, shape [N, K], float32.
        levels: greatest integer.

    Returns:
        int8 [N, K] in [-levels, levels] and the scale of each row, float32 [N]; their product is
        nearest to the weights, in squares, among the ranges tried.
    """
    peak = np.abs(weight).max(1)
    peak[peak == 0] = 1.0
    best = np.full(len(weight), np.inf, np.float32)
    scale = np.ones(len(weight), np.float32)
    for fraction in FRACTIONS:
        tried = (peak * (fraction / levels)).astype(np.float32)
        error = np.square(_rounded(weight, tried, levels) * tried[:, None] - weight).sum(1)
        scale = np.where(error < best, tried, scale)
        best = np.minimum(error, best)
    return _rounded(weight, scale, levels).astype(np.int8), scale


def _rounded(weight: Array, scale: Array, levels: int) -> Array:
    rounded: Array = np.clip(np.round(weight / scale[:, None]), -levels, levels)
    return rounded


def _blocks(writer: Rewriter, name: str, weight: Array) -> tuple[str, str]:
    """Names of unsigned levels [N, blocks, BLOCK] and of scales [N, blocks] of a weight [N, K]."""
    levels, scales = f"{name}_blocks", f"{name}_scale"
    if levels not in writer.constants:
        outputs, inputs = weight.shape
        count = -(-inputs // BLOCK)
        padded = np.zeros((outputs, count * BLOCK), np.float32)
        padded[:, :inputs] = weight
        found, scale = levels_of(padded.reshape(-1, BLOCK), ACTIVATION)
        unsigned = (found.astype(np.int16) + ZERO).astype(np.uint8)
        writer.constant(levels, unsigned.reshape(outputs, count, BLOCK))
        writer.constant(scales, scale.reshape(outputs, count))
    return levels, scales


def _product_by_blocks(writer: Rewriter, found: Product, weight: Array) -> None:
    rows = weight if found.by_output else weight.T
    levels, scales = _blocks(writer, found.weight, rows)
    product = writer.add(
        "MatMulNBits",
        found.x,
        levels,
        scales,
        name="" if found.bias else found.y,
        domain=_MICROSOFT,
        N=rows.shape[0],
        K=rows.shape[1],
        bits=8,
        block_size=BLOCK,
        accuracy_level=4,  # activations as int8; the default multiplies in float32, ten times slower
    )
    if found.bias:
        writer.add("Add", product, found.bias, name=found.y)


def _lookup_by_blocks(writer: Rewriter, found: Lookup, table: Array) -> None:
    width = table.shape[1]
    levels, scales = _blocks(writer, found.table, table)
    last = writer.constant("int8/last_axis", np.array([-1], np.int64))
    zero = writer.constant("int8/zero_level", np.array(ZERO, np.float32))
    rows = writer.add("Cast", writer.add("Gather", levels, found.ids), to=_FLOAT)
    scale = writer.add("Unsqueeze", writer.add("Gather", scales, found.ids), last)
    blocks = writer.add("Mul", writer.add("Sub", rows, zero), scale)
    padded = writer.constant(
        f"int8/width_{width}", np.array([-(-width // BLOCK) * BLOCK], np.int64)
    )
    shape = writer.add("Concat", writer.add("Shape", found.ids), padded, axis=0)
    if width % BLOCK == 0:
        writer.add("Reshape", blocks, shape, name=found.y)
        return
    first = writer.constant("int8/first", np.array([0], np.int64))
    end = writer.constant(f"int8/end_{width}", np.array([width], np.int64))
    writer.add("Slice", writer.add("Reshape", blocks, shape), first, end, last, name=found.y)


def _rows(writer: Rewriter, name: str, weight: Array, by_output: bool) -> tuple[str, str]:
    """Names of the integers, laid out as the weight was, and of the scales [N]."""
    integers, scales = f"{name}_int8", f"{name}_scale"
    if integers not in writer.constants:
        levels, scale = levels_of(weight if by_output else weight.T)
        writer.constant(integers, np.ascontiguousarray(levels if by_output else levels.T))
        writer.constant(scales, scale)
    return integers, scales


def _product_by_rows(writer: Rewriter, found: Product, weight: Array) -> None:
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


def _lookup_by_rows(writer: Rewriter, found: Lookup, table: Array) -> None:
    integers, scales = _rows(writer, found.table, table, True)
    last = writer.constant("int8/last_axis", np.array([-1], np.int64))
    rows = writer.add("Cast", writer.add("Gather", integers, found.ids), to=_FLOAT)
    scale = writer.add("Unsqueeze", writer.add("Gather", scales, found.ids), last)
    writer.add("Mul", rows, scale, name=found.y)
