"""Attention behind a latent prefix by tiles, with a running maximum: for sequences that no single tile holds.

Forward: one launch; it leaves the logsumexp of every row. Backward: two launches, one program for a tile of queries and one
for a tile of keys, so that every gradient is summed by one program, in one order (Dao 2023, arXiv 2307.08691,
section 3.1, without its atomic additions).
"""

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

from seqvae.kernels.attention_parts import (
    LOG2E,
    VALUES,
    add_product,
    column_pointers,
    columns_filled,
    columns_seen,
    finite,
    hide,
    load,
    load_keys,
    load_queries,
    nonzero,
    product,
    row_pointers,
    scores,
    store,
    store_keys,
    store_queries,
    store_values,
    widen,
)


@triton.jit
def place(heads, tiles):
    """Batch row, head and tile of this program; neighbours share a head, whose keys then stay in the cache."""
    pair = tl.program_id(0) // tiles
    return (pair // heads).to(tl.int64), (pair % heads).to(tl.int64), tl.program_id(0) % tiles


@triton.jit(do_not_specialize=VALUES)
def forward_kernel(
    output,  # [B, T, heads, D], contiguous
    logsumexp,  # [B, heads, T], contiguous
    query,  # [B, heads, T, D]
    key,  # [B, heads, T, D]
    value,  # [B, heads, T, D]
    prefix_key,  # [B, heads, P, D]
    prefix_value,  # [B, heads, P, D]
    lengths,  # [B]
    cosine,  # [>= T, D / 2], contiguous
    sine,  # [>= T, D / 2], contiguous
    query_batch,
    query_head,
    query_step,
    key_batch,
    key_head,
    key_step,
    value_batch,
    value_head,
    value_step,
    prefix_key_batch,
    prefix_key_head,
    prefix_key_step,
    prefix_value_batch,
    prefix_value_head,
    prefix_value_step,
    steps,
    prefix,
    heads,
    causal,
    padded,
    rotated,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HEAD: tl.constexpr,
    ROTARY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    batch, head, tile = place(heads, tl.cdiv(steps, ROWS))
    HALF: tl.constexpr = HEAD // 2
    full = tl.arange(0, HEAD)
    row = tile * ROWS + tl.arange(0, ROWS)
    in_query = row < steps
    filled = columns_filled(lengths, batch, steps, prefix, padded)
    seen = columns_seen(row, prefix, filled, causal)
    SCALE: tl.constexpr = HEAD**-0.5 * LOG2E

    q = row_pointers(query + batch * query_batch + head * query_head, row, query_step)
    q1, q2 = load_queries(q, cosine, sine, row, in_query, ROTARY, HALF)
    keys = key + batch * key_batch + head * key_head
    values = value + batch * value_batch + head * value_head
    prefix_keys = prefix_key + batch * prefix_key_batch + head * prefix_key_head
    prefix_values = prefix_value + batch * prefix_value_batch + head * prefix_value_head

    ACCUMULATOR: tl.constexpr = widen(q1).dtype
    highest = tl.full([ROWS], float("-inf"), ACCUMULATOR)
    total = tl.zeros([ROWS], ACCUMULATOR)
    mixed = tl.zeros([ROWS, HEAD], ACCUMULATOR)
    for start in range(0, tl.max(seen, 0), COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        in_key = column < filled
        k = column_pointers(prefix_keys, prefix_key_step, keys, key_step, column, prefix)
        v = column_pointers(prefix_values, prefix_value_step, values, value_step, column, prefix)
        k1, k2 = load_keys(k, cosine, sine, column, prefix, in_key, ROTARY, HALF)
        score = hide(scores(q1, q2, k1, k2, PRECISION), column, seen)
        risen = tl.maximum(highest, tl.max(score, 1) * SCALE)
        level = finite(risen)
        weight = tl.exp2(score * SCALE - level[:, None])
        kept = tl.exp2(highest - level)
        total = total * kept + tl.sum(weight, 1)
        x = load(v, full, in_key)
        mixed = add_product(mixed * kept[:, None], weight.to(x.dtype), x, PRECISION)
        highest = risen
    mixed = mixed / nonzero(total)[:, None]
    own = (batch * steps * heads + head) * HEAD
    store(row_pointers(output + own, row, heads * HEAD), full, in_query, mixed)
    left = (highest + tl.log2(nonzero(total))) / LOG2E
    tl.store(logsumexp + (batch * heads + head) * steps + row, left, mask=in_query)


@triton.jit(do_not_specialize=VALUES)
def query_kernel(
    query_grad,  # [B, T, heads, D], contiguous
    drop,  # [B, heads, T], contiguous: rowsum(grad * output), left for the key kernel
    grad,  # [B, heads, T, D]
    output,  # [B, T, heads, D], contiguous
    logsumexp,  # [B, heads, T], contiguous
    query,  # [B, heads, T, D]
    key,  # [B, heads, T, D]
    value,  # [B, heads, T, D]
    prefix_key,  # [B, heads, P, D]
    prefix_value,  # [B, heads, P, D]
    lengths,  # [B]
    cosine,  # [>= T, D / 2], contiguous
    sine,  # [>= T, D / 2], contiguous
    grad_batch,
    grad_head,
    grad_step,
    query_batch,
    query_head,
    query_step,
    key_batch,
    key_head,
    key_step,
    value_batch,
    value_head,
    value_step,
    prefix_key_batch,
    prefix_key_head,
    prefix_key_step,
    prefix_value_batch,
    prefix_value_head,
    prefix_value_step,
    steps,
    prefix,
    heads,
    causal,
    padded,
    rotated,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HEAD: tl.constexpr,
    ROTARY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    batch, head, tile = place(heads, tl.cdiv(steps, ROWS))
    HALF: tl.constexpr = HEAD // 2
    full = tl.arange(0, HEAD)
    row = tile * ROWS + tl.arange(0, ROWS)
    in_query = row < steps
    filled = columns_filled(lengths, batch, steps, prefix, padded)
    seen = columns_seen(row, prefix, filled, causal)
    SCALE: tl.constexpr = HEAD**-0.5

    q = row_pointers(query + batch * query_batch + head * query_head, row, query_step)
    q1, q2 = load_queries(q, cosine, sine, row, in_query, ROTARY, HALF)
    own = (batch * steps * heads + head) * HEAD
    at = (batch * heads + head) * steps + row
    grads = load(
        row_pointers(grad + batch * grad_batch + head * grad_head, row, grad_step), full, in_query
    )
    outputs = load(row_pointers(output + own, row, heads * HEAD), full, in_query)
    dropped = tl.sum(widen(grads) * widen(outputs), 1)
    tl.store(drop + at, dropped, mask=in_query)
    level = finite(tl.load(logsumexp + at, mask=in_query, other=0.0)) * LOG2E
    keys = key + batch * key_batch + head * key_head
    values = value + batch * value_batch + head * value_head
    prefix_keys = prefix_key + batch * prefix_key_batch + head * prefix_key_head
    prefix_values = prefix_value + batch * prefix_value_batch + head * prefix_value_head

    ACCUMULATOR: tl.constexpr = widen(q1).dtype
    d1 = tl.zeros([ROWS, HALF], ACCUMULATOR)
    d2 = tl.zeros([ROWS, HALF], ACCUMULATOR)
    for start in range(0, tl.max(seen, 0), COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        in_key = column < filled
        k = column_pointers(prefix_keys, prefix_key_step, keys, key_step, column, prefix)
        v = column_pointers(prefix_values, prefix_value_step, values, value_step, column, prefix)
        k1, k2 = load_keys(k, cosine, sine, column, prefix, in_key, ROTARY, HALF)
        score = hide(scores(q1, q2, k1, k2, PRECISION), column, seen)
        weight = tl.exp2(score * (SCALE * LOG2E) - level[:, None])
        dw = product(grads, tl.trans(load(v, full, in_key)), PRECISION)
        ds = (weight * (dw - dropped[:, None])).to(k1.dtype)
        d1 = add_product(d1, ds, k1, PRECISION)
        d2 = add_product(d2, ds, k2, PRECISION)
    dq = row_pointers(query_grad + own, row, heads * HEAD)
    store_queries(dq, d1 * SCALE, d2 * SCALE, cosine, sine, row, in_query, ROTARY)


@triton.jit(do_not_specialize=VALUES)
def key_kernel(
    key_grad,  # [B, T, heads, D], contiguous
    value_grad,  # [B, T, heads, D], contiguous
    prefix_key_grad,  # [B, heads, P, D], contiguous
    prefix_value_grad,  # [B, heads, P, D], contiguous
    drop,  # [B, heads, T], contiguous: rowsum(grad * output)
    grad,  # [B, heads, T, D]
    logsumexp,  # [B, heads, T], contiguous
    query,  # [B, heads, T, D]
    key,  # [B, heads, T, D]
    value,  # [B, heads, T, D]
    prefix_key,  # [B, heads, P, D]
    prefix_value,  # [B, heads, P, D]
    lengths,  # [B]
    cosine,  # [>= T, D / 2], contiguous
    sine,  # [>= T, D / 2], contiguous
    grad_batch,
    grad_head,
    grad_step,
    query_batch,
    query_head,
    query_step,
    key_batch,
    key_head,
    key_step,
    value_batch,
    value_head,
    value_step,
    prefix_key_batch,
    prefix_key_head,
    prefix_key_step,
    prefix_value_batch,
    prefix_value_head,
    prefix_value_step,
    steps,
    prefix,
    heads,
    causal,
    padded,
    rotated,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HEAD: tl.constexpr,
    ROTARY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A tile of keys in registers, transposed scores [COLUMNS, ROWS]: their products need no transposition."""
    batch, head, tile = place(heads, tl.cdiv(prefix + steps, COLUMNS))
    HALF: tl.constexpr = HEAD // 2
    full = tl.arange(0, HEAD)
    column = tile * COLUMNS + tl.arange(0, COLUMNS)
    filled = columns_filled(lengths, batch, steps, prefix, padded)
    in_key = column < filled
    SCALE: tl.constexpr = HEAD**-0.5

    k = column_pointers(
        prefix_key + batch * prefix_key_batch + head * prefix_key_head,
        prefix_key_step,
        key + batch * key_batch + head * key_head,
        key_step,
        column,
        prefix,
    )
    v = column_pointers(
        prefix_value + batch * prefix_value_batch + head * prefix_value_head,
        prefix_value_step,
        value + batch * value_batch + head * value_head,
        value_step,
        column,
        prefix,
    )
    k1, k2 = load_keys(k, cosine, sine, column, prefix, in_key, ROTARY, HALF)
    values = load(v, full, in_key)
    queries = query + batch * query_batch + head * query_head
    grads = grad + batch * grad_batch + head * grad_head
    levels = logsumexp + (batch * heads + head) * steps
    drops = drop + (batch * heads + head) * steps

    ACCUMULATOR: tl.constexpr = widen(k1).dtype
    d1 = tl.zeros([COLUMNS, HALF], ACCUMULATOR)
    d2 = tl.zeros([COLUMNS, HALF], ACCUMULATOR)
    dv = tl.zeros([COLUMNS, HEAD], ACCUMULATOR)
    # Step s is seen from row s on; whole tiles of rows before it are skipped.
    first = tl.where(causal != 0, tl.maximum(tile * COLUMNS - prefix, 0) // ROWS * ROWS, 0)
    for start in range(first, steps, ROWS):
        row = start + tl.arange(0, ROWS)
        in_query = row < steps
        q = row_pointers(queries, row, query_step)
        q1, q2 = load_queries(q, cosine, sine, row, in_query, ROTARY, HALF)
        g = load(row_pointers(grads, row, grad_step), full, in_query)
        level = finite(tl.load(levels + row, mask=in_query, other=0.0)) * LOG2E
        dropped = tl.load(drops + row, mask=in_query, other=0.0)
        seen = columns_seen(row, prefix, filled, causal)
        score = scores(k1, k2, q1, q2, PRECISION)
        score = tl.where(column[:, None] < seen[None, :], score, float("-inf"))
        weight = tl.exp2(score * (SCALE * LOG2E) - level[None, :])
        dv = add_product(dv, weight.to(g.dtype), g, PRECISION)
        dw = product(values, tl.trans(g), PRECISION)
        ds = (weight * (dw - dropped[None, :])).to(q1.dtype)
        d1 = add_product(d1, ds, q1, PRECISION)
        d2 = add_product(d2, ds, q2, PRECISION)
    own = (batch * steps * heads + head) * HEAD
    own_prefix = (batch * heads + head) * prefix * HEAD
    in_sequence = row_pointers(value_grad + own, column - prefix, heads * HEAD)
    in_prefix = row_pointers(prefix_value_grad + own_prefix, column, HEAD)
    store_values(in_prefix, in_sequence, dv, column, prefix, steps)
    in_sequence = row_pointers(key_grad + own, column - prefix, heads * HEAD)
    in_prefix = row_pointers(prefix_key_grad + own_prefix, column, HEAD)
    d1, d2 = d1 * SCALE, d2 * SCALE
    store_keys(in_prefix, in_sequence, d1, d2, cosine, sine, column, prefix, steps, ROTARY)
