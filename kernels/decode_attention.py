"""One step of decoding: rotate query and key, append key and value to the caches, attend over prefix and cache.

The work is to read the caches once. A program keeps a softmax for each of its BLOCK slots (slot r sees the rows r,
r + BLOCK, ...) and merges them at its end, so that no turn of the loop reduces across warps; loads run ahead through
shared memory by as many turns as the launch table gives stages.

Few heads and a long cache: several programs share the rows of a head (split-KV: Dao et al. 2023, "Flash-Decoding for
long-context inference") and a second kernel merges what they leave, always in the same order.
"""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from collections.abc import Iterator
from typing import Any, Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqvae.kernels.launch import Launch, lookup
from seqvae.kernels.start import compiled, start
from seqvae.kernels.variant import Variant

OP = "decode_attention"
MERGE = "decode_attention_merge"
HEAD_DIMENSIONS = (32, 64, 128)
DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
# Behind the D sums of a split stand its maximum and its denominator; 4 keep the rows on 16 bytes.
STATISTICS = 4
# A finite "minus infinity": the difference of two of them is 0 and not NaN.
LOWEST = tl.constexpr(-3.4028234663852886e38)
LOG2_E = 1.4426950408889634


@triton.jit
def _steps(position, limit):
    """Whether a row's position lies in the cache, and how many steps came before it."""
    at = tl.load(position)
    inside = (at >= 0) & (at < limit)
    return inside, tl.where(inside, at, 0).to(tl.int32)


@triton.jit
def _chunk(rows, splits, BLOCK: tl.constexpr):
    """Rows that each split takes: equal shares in whole blocks."""
    return tl.maximum(tl.cdiv(tl.cdiv(rows, splits), BLOCK), 1) * BLOCK


@triton.jit
def _halves(x, D: tl.constexpr):
    """The vector at `x` and its partners in the rotation: (first, second) and (-second, first)."""
    lane = tl.arange(0, D)
    partner = tl.load(x + (lane + D // 2) % D).to(tl.float32)
    return tl.load(x + lane).to(tl.float32), tl.where(lane < D // 2, -partner, partner)


@triton.jit
def _tile(
    prefix_rows,  # [P, D]
    cache_rows,  # [C, D]
    prefix_stride,
    cache_stride,
    prefix,
    first,
    stop,
    BLOCK: tl.constexpr,
    D: tl.constexpr,
):
    """Rows first .. first + BLOCK of the prefix and, behind it, the cache; zeros from `stop` on."""
    row = first + tl.arange(0, BLOCK)
    ahead = row < prefix
    offset = tl.where(ahead, row * prefix_stride, (row - prefix) * cache_stride)
    pointer = tl.where(ahead, prefix_rows, cache_rows) + offset
    pointer = pointer[:, None] + tl.arange(0, D)[None, :]
    return tl.load(pointer, mask=(row < stop)[:, None], other=0.0)


@triton.jit
def _absorb(maximum, denominator, total, query, keys, values, seen):
    """Take a key and a value into the softmax of every slot; slots from `seen` on get none."""
    score = tl.sum(keys.to(tl.float32) * query[None, :], 1)
    score = tl.where(tl.arange(0, keys.shape[0]) < seen, score, float("-inf"))
    highest = tl.maximum(maximum, score)
    shrink = tl.exp2(maximum - highest)
    weight = tl.exp2(score - highest)
    total = total * shrink[:, None] + weight[:, None] * values.to(tl.float32)
    return highest, denominator * shrink + weight, total


@triton.jit(do_not_specialize=["heads", "limit", "prefix", "rotary", "position_stride"])
def decode_attention_kernel(
    query,  # [B, H, D]
    key,  # [B, H, D]
    value,  # [B, H, D]
    key_cache,  # [B, H, C, D]
    value_cache,  # [B, H, C, D]
    prefix_key,  # [B, H, P, D]
    prefix_value,  # [B, H, P, D]
    cosine,  # [L, D / 2]
    sine,  # [L, D / 2]
    position,  # [1] or [B]
    out,  # [B, H, D], or with PARTIAL [B, H, splits, D + WIDTH]
    heads,
    limit,
    prefix,
    rotary,
    position_stride,
    step_b,
    step_h,
    key_b,
    key_h,
    key_c,
    value_b,
    value_h,
    value_c,
    prefix_key_b,
    prefix_key_h,
    prefix_key_p,
    prefix_value_b,
    prefix_value_h,
    prefix_value_p,
    table_l,
    scale,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
    STAGES: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """Programs: (B * H, splits). Split 0 appends the new key and value, and takes them in."""
    program = tl.program_id(0)
    split = tl.program_id(1)
    splits = tl.num_programs(1)
    b = (program // heads).to(tl.int64)
    h = (program % heads).to(tl.int64)
    inside, steps = _steps(position + b * position_stride, limit)
    lane = tl.arange(0, D)
    own = b * step_b + h * step_h
    # These do not wait for the position; nor does the append at the end wait for them.
    query_own, query_partner = _halves(query + own, D)
    key_own, key_partner = _halves(key + own, D)
    new_value = tl.load(value + own + lane)

    rows = prefix + steps
    first = 0
    stop = rows
    if PARTIAL:
        chunk = _chunk(rows, splits, BLOCK)
        first = split * chunk
        stop = tl.minimum(first + chunk, rows)
        if first >= tl.maximum(rows, 1):
            return

    turn = (lane >= 0) & (rotary != 0)
    angle = steps.to(tl.int64) * table_l + lane % (D // 2)
    cos = tl.load(cosine + angle, mask=turn, other=1.0).to(tl.float32)
    sin = tl.load(sine + angle, mask=turn, other=0.0).to(tl.float32)
    turned = (query_own * cos + query_partner * sin) * scale

    # Every program reads positions before the new one only, and split 0 takes the new key and value
    # from registers: the append races with no reader.
    key_cache += b * key_b + h * key_h
    value_cache += b * value_b + h * value_h
    prefix_key += b * prefix_key_b + h * prefix_key_h
    prefix_value += b * prefix_value_b + h * prefix_value_h
    maximum = tl.full([BLOCK], LOWEST, tl.float32)
    denominator = tl.zeros([BLOCK], tl.float32)
    total = tl.zeros([BLOCK, D], tl.float32)
    for row in tl.range(first, stop, BLOCK, num_stages=STAGES):
        keys = _tile(prefix_key, key_cache, prefix_key_p, key_c, prefix, row, stop, BLOCK, D)
        values = _tile(
            prefix_value, value_cache, prefix_value_p, value_c, prefix, row, stop, BLOCK, D
        )
        maximum, denominator, total = _absorb(
            maximum, denominator, total, turned, keys, values, stop - row
        )
    highest = tl.max(maximum, 0)
    share = tl.exp2(maximum - highest)
    weight = tl.sum(denominator * share, 0)
    mixed = tl.sum(total * share[:, None], 0)

    if split == 0:
        # The new key counts as it is stored, so that later steps see the same one.
        new_key = (key_own * cos + key_partner * sin).to(key_cache.dtype.element_ty)
        kept = (lane >= 0) & inside
        end = steps.to(tl.int64)
        tl.store(key_cache + end * key_c + lane, new_key, mask=kept)
        tl.store(value_cache + end * value_c + lane, new_value, mask=kept)
        score = tl.sum(turned * new_key.to(tl.float32), 0)
        top = tl.maximum(highest, score)
        shrink = tl.exp2(highest - top)
        fresh = tl.exp2(score - top)
        highest = top
        weight = weight * shrink + fresh
        mixed = mixed * shrink + fresh * new_value.to(tl.float32)
        # A host that must not wait cannot refuse a position: its row says so instead.
        mixed = tl.where(inside, mixed, float("nan"))
    if PARTIAL:
        left = out + (program.to(tl.int64) * splits + split) * (D + WIDTH)
        tl.store(left + lane, mixed)
        tl.store(left + D, highest)
        tl.store(left + D + 1, weight)
    else:
        result = mixed / weight
        tl.store(out + program.to(tl.int64) * D + lane, result.to(out.dtype.element_ty))


@triton.jit(do_not_specialize=["heads", "limit", "prefix", "position_stride", "splits"])
def decode_attention_merge_kernel(
    partial,  # [B, H, splits, D + WIDTH]
    position,  # [1] or [B]
    out,  # [B, H, D]
    heads,
    limit,
    prefix,
    position_stride,
    splits,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """Programs: (B * H,). Merge what the splits of a head left; those that had no rows left nothing."""
    program = tl.program_id(0)
    _, steps = _steps(position + (program // heads).to(tl.int64) * position_stride, limit)
    rows = prefix + steps
    used = tl.maximum(tl.cdiv(rows, _chunk(rows, splits, BLOCK)), 1)
    lane = tl.arange(0, D)
    split = tl.arange(0, SPLITS)
    left = partial + (program.to(tl.int64) * splits + split) * (D + WIDTH)
    highest = tl.load(left + D, mask=split < used, other=float("-inf"))
    weight = tl.load(left + D + 1, mask=split < used, other=0.0)
    mixed = tl.load(left[:, None] + lane[None, :], mask=(split < used)[:, None], other=0.0)
    share = tl.exp2(highest - tl.max(highest, 0))
    result = tl.sum(mixed * share[:, None], 0) / tl.sum(weight * share, 0)
    tl.store(out + program.to(tl.int64) * D + lane, result.to(out.dtype.element_ty))


def _names(dtype: str, dimension: int, split: bool) -> tuple[str, str]:
    """Variants of the attention and, where the rows are split, of the merge."""
    tail = f"{dtype}_d{dimension}"
    return f"{OP}_{tail}" + ("_split" if split else ""), f"{MERGE}_{tail}"


def _launches(dtype: str, dimension: int, arch: int) -> tuple[Launch, Launch]:
    return lookup(OP, dtype, dimension, arch), lookup(MERGE, dtype, dimension, arch)


def splits_for(heads: int, rows: int, dtype: str, dimension: int, arch: int) -> int:
    """How many programs share the rows of one head.

    The launch table says it: FILL programs keep the GPU busy, a split should have CHUNK rows, and a cache below
    SPLIT_FROM rows is read sooner than a second kernel starts. SPLITS is the most that the merge takes. ``heads`` is
    B * H, ``rows`` prefix and capacity: the host does not know the position.
    """
    attend, merge = _launches(dtype, dimension, arch)
    if rows < attend.blocks["SPLIT_FROM"]:
        return 1
    wanted = triton.cdiv(attend.blocks["FILL"], max(heads, 1))
    useful = triton.cdiv(rows, attend.blocks["CHUNK"])
    return min(int(wanted), int(useful), merge.blocks["SPLITS"])


def _splits(query: Tensor, key_cache: Tensor, prefix_key: Tensor | None, arch: int) -> int:
    batch, heads, dimension = query.shape
    rows = key_cache.shape[2] + (0 if prefix_key is None else prefix_key.shape[2])
    return splits_for(batch * heads, rows, DTYPES[query.dtype], dimension, arch)


def is_compiled(query: Tensor, key_cache: Tensor, prefix_key: Tensor | None, arch: int) -> bool:
    """Whether a library with all that a call starts is loaded; a KeyError if the table lacks a row."""
    splits = _splits(query, key_cache, prefix_key, arch)
    needed = _names(DTYPES[query.dtype], query.shape[-1], splits > 1)[: min(splits, 2)]
    return all(compiled(name, arch) for name in needed)


def _strides(x: Tensor) -> tuple[int, ...]:
    """Strides without the last; 0 where the axis has one element, whose stride may be anything."""
    return tuple(
        step if size > 1 else 0 for size, step in zip(x.shape[:-1], x.stride()[:-1], strict=True)
    )


def decode_attention(
    path: Literal["triton", "aot"],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    position: Tensor,
    prefix_key: Tensor | None,
    prefix_value: Tensor | None,
    cosine: Tensor | None,
    sine: Tensor | None,
    *,
    arch: int,
    splits: int | None = None,
) -> Tensor:
    """Start the kernels; see ``seqvae.ops.decode_attention``.

    D is one of HEAD_DIMENSIONS and contiguous everywhere; query, key and value have the same strides, and the rows of
    one head, in caches and prefixes, span less than 2^31 numbers. ``arch`` is the compute capability, e.g. 90.
    ``splits`` is for tests: None takes what the launch table says.
    """
    batch, heads, dimension = query.shape
    dtype = DTYPES[query.dtype]
    if splits is None:
        splits = _splits(query, key_cache, prefix_key, arch)
    launch, merge = _launches(dtype, dimension, arch)
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    if out.numel() == 0:
        return out
    # Kernels take no None: what is absent has no rows and any address.
    prefix = table_stride = 0
    limit = key_cache.shape[2]
    if prefix_key is None or prefix_value is None:
        prefix_key, prefix_value = key_cache, value_cache
    else:
        prefix = prefix_key.shape[2]
    rotary = cosine is not None
    if cosine is None or sine is None:
        cosine = sine = query
    else:
        limit, table_stride = min(limit, len(cosine)), cosine.stride(0)
    name, merge_name = _names(dtype, dimension, splits > 1)
    constants = {"D": dimension, "BLOCK": launch.blocks["BLOCK"], "WIDTH": STATISTICS}
    position_stride = int(position.numel() > 1)
    partial = out
    if splits > 1:
        shape = (batch, heads, splits, dimension + STATISTICS)
        partial = torch.empty(shape, dtype=torch.float32, device=out.device)
    start(
        path,
        name,
        decode_attention_kernel,
        (batch * heads, splits),
        (
            *(query, key, value, key_cache, value_cache, prefix_key, prefix_value),
            *(cosine, sine, position, partial),
            *(heads, limit, prefix, int(rotary), position_stride),
            *_strides(query),
            *(*_strides(key_cache), *_strides(value_cache)),
            *(*_strides(prefix_key), *_strides(prefix_value)),
            *(table_stride, LOG2_E * dimension**-0.5),
        ),
        {**constants, "STAGES": launch.stages, "PARTIAL": splits > 1},
        launch,
    )
    if splits > 1:
        start(
            path,
            merge_name,
            decode_attention_merge_kernel,
            (batch * heads,),
            (partial, position, out, heads, limit, prefix, position_stride, splits),
            {**constants, "SPLITS": merge.blocks["SPLITS"]},
            merge,
        )
    return out


def _variant(
    op: str,
    name: str,
    function: Any,  # noqa: ANN401
    dtype: str,
    constants: dict[str, Any],
    launch: Launch,
) -> Variant:
    own = "query key value key_cache value_cache prefix_key prefix_value"
    kinds = dict.fromkeys(own.split(), f"*{dtype}") | dict.fromkeys(constants, "constexpr")
    kinds |= {"cosine": "*fp32", "sine": "*fp32", "partial": "*fp32", "position": "*i64"}
    kinds |= {"out": "*fp32" if constants.get("PARTIAL") else f"*{dtype}", "scale": "fp32"}
    # The rows of one head span less than 2^31 numbers (strides _c and _p); all heads may not.
    kinds |= {x: "i64" for x in function.arg_names if x.endswith(("_b", "_h", "_l"))}
    signature = {x: kinds.get(x, "i32") for x in function.arg_names}
    aligned = tuple(x for x in signature if x.startswith(("key_", "value_", "prefix_")))
    rows = constants.get("SPLITS", 2 * constants["BLOCK"])
    return Variant(op, name, function, signature, constants, aligned, launch, rows * constants["D"])


def variants(arch: int) -> Iterator[Variant]:
    """Every head dimension and dtype, with the rows of a head whole and split, and the merge."""
    for dtype in DTYPES.values():
        for dimension in HEAD_DIMENSIONS:
            launch, merge = _launches(dtype, dimension, arch)
            common = {"D": dimension, "BLOCK": launch.blocks["BLOCK"], "WIDTH": STATISTICS}
            kernel = decode_attention_kernel
            for split in (False, True):
                name, merge_name = _names(dtype, dimension, split)
                constants = {**common, "STAGES": launch.stages, "PARTIAL": split}
                yield _variant(OP, name, kernel, dtype, constants, launch)
            constants = {**common, "SPLITS": merge.blocks["SPLITS"]}
            yield _variant(
                MERGE, merge_name, decode_attention_merge_kernel, dtype, constants, merge
            )
