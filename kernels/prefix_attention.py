"""Attention behind a latent prefix for short sequences: one program holds a whole sequence of one head.

With the keys of a head in one tile the softmax needs no running maximum, and the backward pass computes it again from
query and key instead of reading an output and its logsumexp: one launch, nothing saved but the inputs. Libraries take
three launches, with tiles made for thousands of steps.

The tile has ROWS rows and as many columns. Prefix and sequence together may have up to REST columns more, in a narrow
tile of their own: 64 steps and a prefix of 4 cost a tile of 64 x 80, and not one of 128 x 128.
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
)


@triton.jit(do_not_specialize=VALUES)
def forward_kernel(
    output,  # [B, T, heads, D], contiguous
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
    REST: tl.constexpr,
    HEAD: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Programs: (B * heads,)."""
    batch = (tl.program_id(0) // heads).to(tl.int64)
    head = (tl.program_id(0) % heads).to(tl.int64)
    HALF: tl.constexpr = HEAD // 2
    SCALE: tl.constexpr = HEAD**-0.5 * LOG2E
    full = tl.arange(0, HEAD)
    row = tl.arange(0, ROWS)
    rest = ROWS + tl.arange(0, max(REST, 1))
    filled = columns_filled(lengths, batch, steps, prefix, padded)
    seen = columns_seen(row, prefix, filled, causal)
    queries = query + batch * query_batch + head * query_head
    keys = key + batch * key_batch + head * key_head
    values = value + batch * value_batch + head * value_head
    prefix_keys = prefix_key + batch * prefix_key_batch + head * prefix_key_head
    prefix_values = prefix_value + batch * prefix_value_batch + head * prefix_value_head

    q = row_pointers(queries, row, query_step)
    k = column_pointers(prefix_keys, prefix_key_step, keys, key_step, row, prefix)
    v = column_pointers(prefix_values, prefix_value_step, values, value_step, row, prefix)
    q1, q2 = load_queries(q, cosine, sine, row, row < steps, rotated, HALF)
    k1, k2 = load_keys(k, cosine, sine, row, prefix, row < filled, rotated, HALF)
    v = load(v, full, row < filled)
    score = hide(scores(q1, q2, k1, k2, PRECISION), row, seen)
    highest = tl.max(score, 1)
    if REST > 0:
        k = column_pointers(prefix_keys, prefix_key_step, keys, key_step, rest, prefix)
        w = column_pointers(prefix_values, prefix_value_step, values, value_step, rest, prefix)
        k1, k2 = load_keys(k, cosine, sine, rest, prefix, rest < filled, rotated, HALF)
        w = load(w, full, rest < filled)
        rest_score = hide(scores(q1, q2, k1, k2, PRECISION), rest, seen)
        highest = tl.maximum(highest, tl.max(rest_score, 1))

    level = finite(highest * SCALE)[:, None]
    weight = tl.exp2(score * SCALE - level)
    total = tl.sum(weight, 1)
    mixed = product(weight.to(v.dtype), v, PRECISION)
    if REST > 0:
        weight = tl.exp2(rest_score * SCALE - level)
        total += tl.sum(weight, 1)
        mixed = add_product(mixed, weight.to(w.dtype), w, PRECISION)
    own = row_pointers(output + (batch * steps * heads + head) * HEAD, row, heads * HEAD)
    store(own, full, row < steps, mixed / nonzero(total)[:, None])


@triton.jit(do_not_specialize=VALUES)
def backward_kernel(
    query_grad,  # [B, T, heads, D], contiguous
    key_grad,  # [B, T, heads, D], contiguous
    value_grad,  # [B, T, heads, D], contiguous
    prefix_key_grad,  # [B, heads, P, D], contiguous
    prefix_value_grad,  # [B, heads, P, D], contiguous
    grad,  # [B, heads, T, D]
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
    REST: tl.constexpr,
    HEAD: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Programs: (B * heads,). With A the softmax and G the gradient of A V (Dao et al. 2022, arXiv 2205.14135, appendix B.2):

    dV = A' G, dS = A * (G V' - rowsum(A * G V')) / sqrt(D), dQ = dS K, dK = dS' Q.
    """
    batch = (tl.program_id(0) // heads).to(tl.int64)
    head = (tl.program_id(0) % heads).to(tl.int64)
    HALF: tl.constexpr = HEAD // 2
    SCALE: tl.constexpr = HEAD**-0.5
    full = tl.arange(0, HEAD)
    row = tl.arange(0, ROWS)
    rest = ROWS + tl.arange(0, max(REST, 1))
    filled = columns_filled(lengths, batch, steps, prefix, padded)
    seen = columns_seen(row, prefix, filled, causal)
    queries = query + batch * query_batch + head * query_head
    keys = key + batch * key_batch + head * key_head
    values = value + batch * value_batch + head * value_head
    prefix_keys = prefix_key + batch * prefix_key_batch + head * prefix_key_head
    prefix_values = prefix_value + batch * prefix_value_batch + head * prefix_value_head

    q = row_pointers(queries, row, query_step)
    k = column_pointers(prefix_keys, prefix_key_step, keys, key_step, row, prefix)
    v = column_pointers(prefix_values, prefix_value_step, values, value_step, row, prefix)
    g = row_pointers(grad + batch * grad_batch + head * grad_head, row, grad_step)
    q1, q2 = load_queries(q, cosine, sine, row, row < steps, rotated, HALF)
    k1, k2 = load_keys(k, cosine, sine, row, prefix, row < filled, rotated, HALF)
    v = load(v, full, row < filled)
    g = load(g, full, row < steps)
    score = hide(scores(q1, q2, k1, k2, PRECISION), row, seen)
    highest = tl.max(score, 1)
    if REST > 0:
        k = column_pointers(prefix_keys, prefix_key_step, keys, key_step, rest, prefix)
        w = column_pointers(prefix_values, prefix_value_step, values, value_step, rest, prefix)
        r1, r2 = load_keys(k, cosine, sine, rest, prefix, rest < filled, rotated, HALF)
        w = load(w, full, rest < filled)
        rest_score = hide(scores(q1, q2, r1, r2, PRECISION), rest, seen)
        highest = tl.maximum(highest, tl.max(rest_score, 1))

    level = finite(highest * (SCALE * LOG2E))[:, None]
    weight = tl.exp2(score * (SCALE * LOG2E) - level)
    total = tl.sum(weight, 1)
    if REST > 0:
        rest_weight = tl.exp2(rest_score * (SCALE * LOG2E) - level)
        total += tl.sum(rest_weight, 1)
    inverse = (1.0 / nonzero(total))[:, None]
    weight = weight * inverse
    own = (batch * steps * heads + head) * HEAD
    own_prefix = (batch * heads + head) * prefix * HEAD

    dv = product(tl.trans(weight.to(g.dtype)), g, PRECISION)
    in_prefix = row_pointers(prefix_value_grad + own_prefix, row, HEAD)
    in_sequence = row_pointers(value_grad + own, row - prefix, heads * HEAD)
    store_values(in_prefix, in_sequence, dv, row, prefix, steps)
    dw = product(g, tl.trans(v), PRECISION)
    drop = tl.sum(weight * dw, 1)
    if REST > 0:
        rest_weight = rest_weight * inverse
        dv = product(tl.trans(rest_weight.to(g.dtype)), g, PRECISION)
        in_prefix = row_pointers(prefix_value_grad + own_prefix, rest, HEAD)
        in_sequence = row_pointers(value_grad + own, rest - prefix, heads * HEAD)
        store_values(in_prefix, in_sequence, dv, rest, prefix, steps)
        rest_dw = product(g, tl.trans(w), PRECISION)
        drop += tl.sum(rest_weight * rest_dw, 1)

    drop = drop[:, None] * SCALE
    ds = (weight * (dw * SCALE - drop)).to(q1.dtype)
    d1 = product(ds, k1, PRECISION)
    d2 = product(ds, k2, PRECISION)
    if REST > 0:
        rest_ds = (rest_weight * (rest_dw * SCALE - drop)).to(q1.dtype)
        d1 = add_product(d1, rest_ds, r1, PRECISION)
        d2 = add_product(d2, rest_ds, r2, PRECISION)
    dq = row_pointers(query_grad + own, row, heads * HEAD)
    store_queries(dq, d1, d2, cosine, sine, row, row < steps, rotated)

    d1 = product(tl.trans(ds), q1, PRECISION)
    d2 = product(tl.trans(ds), q2, PRECISION)
    in_prefix = row_pointers(prefix_key_grad + own_prefix, row, HEAD)
    in_sequence = row_pointers(key_grad + own, row - prefix, heads * HEAD)
    store_keys(in_prefix, in_sequence, d1, d2, cosine, sine, row, prefix, steps, rotated)
    if REST > 0:
        d1 = product(tl.trans(rest_ds), q1, PRECISION)
        d2 = product(tl.trans(rest_ds), q2, PRECISION)
        in_prefix = row_pointers(prefix_key_grad + own_prefix, rest, HEAD)
        in_sequence = row_pointers(key_grad + own, rest - prefix, heads * HEAD)
        store_keys(in_prefix, in_sequence, d1, d2, cosine, sine, rest, prefix, steps, rotated)
