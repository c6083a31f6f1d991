"""Device functions that the attention kernels share.

Two choices keep the kernels short. Keys are counted in columns: columns 0 to P - 1 are the latent prefix, column P + s is
step s of the sequence, and a choice between two pointers reads both from their own tensors, so nothing is concatenated.
Queries and keys are held as the two halves of the head dimension, which the rotation pairs (seqvae/nn/rotary.py): it needs
no shuffle, and query @ key.T is the sum of two products.
"""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
# Integers whose value must not be compiled in: each would double the kernels to compile.
VALUES = ["steps", "prefix", "heads", "causal", "padded", "rotated"]


@triton.jit
def widen(x):
    """In the dtype of all arithmetic: float32, or float64 under a gradient check."""
    if x.dtype == tl.float64:
        return x
    else:
        return x.to(tl.float32)


@triton.jit
def row_pointers(base, row, stride):
    """[ROWS, 1]; offsets are 64-bit, since a row may be heads * D * B elements after another."""
    return base + row.to(tl.int64)[:, None] * stride


@triton.jit
def column_pointers(prefix_base, prefix_stride, base, stride, column, prefix):
    """[COLUMNS, 1]: rows of the prefix, then rows of the sequence."""
    at = column.to(tl.int64)[:, None]
    return tl.where(at < prefix, prefix_base + at * prefix_stride, base + (at - prefix) * stride)


@triton.jit
def load(pointers, element, keep):
    """[N, E]; rows not kept are zero, whatever memory holds."""
    return tl.load(pointers + element[None, :], mask=keep[:, None], other=0.0)


@triton.jit
def store(pointers, element, keep, x):
    tl.store(pointers + element[None, :], x.to(pointers.dtype.element_ty), mask=keep[:, None])


@triton.jit
def rotate(first, second, cosine, sine, position, keep, SIGN: tl.constexpr):
    """Rotate the halves [N, D / 2] by the angles of their positions times SIGN; rows not kept stay as they are."""
    HALF: tl.constexpr = first.shape[1]
    at = position[:, None] * HALF + tl.arange(0, HALF)[None, :]
    c = widen(tl.load(cosine + at, mask=keep[:, None], other=1.0))
    s = widen(tl.load(sine + at, mask=keep[:, None], other=0.0)) * SIGN
    x, y = widen(first), widen(second)
    return (x * c - y * s).to(first.dtype), (y * c + x * s).to(first.dtype)


@triton.jit
def load_queries(pointers, cosine, sine, row, keep, rotated, HALF: tl.constexpr):
    """Both halves of rows of queries, rotated."""
    half = tl.arange(0, HALF)
    first, second = load(pointers, half, keep), load(pointers + HALF, half, keep)
    if rotated != 0:
        first, second = rotate(first, second, cosine, sine, row, keep, 1.0)
    return first, second


@triton.jit
def load_keys(pointers, cosine, sine, column, prefix, keep, rotated, HALF: tl.constexpr):
    """Both halves of columns of keys; the sequence is rotated and the prefix is not."""
    half = tl.arange(0, HALF)
    first, second = load(pointers, half, keep), load(pointers + HALF, half, keep)
    if rotated != 0:
        keep = keep & (column >= prefix)
        first, second = rotate(first, second, cosine, sine, column - prefix, keep, 1.0)
    return first, second


@triton.jit
def store_queries(pointers, first, second, cosine, sine, row, keep, rotated):
    """Both halves of a gradient by rows, rotated back."""
    half = tl.arange(0, first.shape[1])
    if rotated != 0:
        first, second = rotate(first, second, cosine, sine, row, keep, -1.0)
    store(pointers, half, keep, first)
    store(pointers + first.shape[1], half, keep, second)


@triton.jit
def store_keys(
    prefix_rows, sequence_rows, first, second, cosine, sine, column, prefix, steps, rotated
):
    """Both halves of a gradient by columns: rotated back to the sequence, as it is to the prefix."""
    half = tl.arange(0, first.shape[1])
    in_prefix = column < prefix
    in_sequence = (column >= prefix) & (column < prefix + steps)
    if rotated != 0:
        first, second = rotate(first, second, cosine, sine, column - prefix, in_sequence, -1.0)
    store(sequence_rows, half, in_sequence, first)
    store(sequence_rows + first.shape[1], half, in_sequence, second)
    store(prefix_rows, half, in_prefix, first)
    store(prefix_rows + first.shape[1], half, in_prefix, second)


@triton.jit
def store_values(prefix_rows, sequence_rows, x, column, prefix, steps):
    """A gradient by columns, to the prefix and to the sequence."""
    full = tl.arange(0, x.shape[1])
    store(sequence_rows, full, (column >= prefix) & (column < prefix + steps), x)
    store(prefix_rows, full, column < prefix, x)


@triton.jit
def columns_seen(row, prefix, filled, causal):
    """[ROWS]: how many columns a query sees, from the first on; `filled` of them exist."""
    return tl.where(causal != 0, tl.minimum(filled, row + prefix + 1), filled)


@triton.jit
def columns_filled(lengths, batch, steps, prefix, padded):
    """Prefix and valid steps of a batch row."""
    length = tl.load(lengths + batch, mask=padded != 0, other=steps).to(tl.int32)
    return prefix + tl.minimum(tl.maximum(length, 0), steps)


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """a @ b"""
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def add_product(total, a, b, PRECISION: tl.constexpr):
    """total + a @ b"""
    return tl.dot(a, b, total, input_precision=PRECISION, out_dtype=total.dtype)


@triton.jit
def scores(query_first, query_second, key_first, key_second, PRECISION: tl.constexpr):
    """query @ key.T, [ROWS, COLUMNS], not yet scaled."""
    half = product(query_first, tl.trans(key_first), PRECISION)
    return add_product(half, query_second, tl.trans(key_second), PRECISION)


@triton.jit
def hide(score, column, seen):
    """Minus infinity from the first unseen column of each row on; `seen` [ROWS]."""
    return tl.where(column[None, :] < seen[:, None], score, float("-inf"))


@triton.jit
def finite(level):
    """0 where a row sees nothing, so that exp2(-inf - level) is 0 there and not NaN."""
    return tl.where(level == float("-inf"), 0.0, level)


@triton.jit
def nonzero(total):
    """1 where a row sees nothing: its output is 0 / 1."""
    return tl.where(total == 0.0, 1.0, total)
