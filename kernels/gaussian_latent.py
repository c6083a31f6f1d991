"""Sample a Gaussian posterior and measure its KL to the standard normal: the kernels of ``seqvae.ops.gaussian_latent``.

Forward reads mean and log-variance once and writes z and the reduced KL; backward reads them and the gradient of z and
writes two gradients. The noise is computed twice and stored never, and a row's free bits are decided again from its
statistics. A program holds whole rows, so that a row's sum stays inside it. Means over rows need all programs: each of a
fixed number adds up its share and leaves a partial sum, and a second, small kernel adds those in order and applies free bits.
"""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

from seqvae.kernels.gaussian_parts import (
    clamped,
    divergence,
    load_stream,
    load_tile,
    root_exp,
    rows_that_count,
    store_tile,
    variance_minus_1,
    widen,
)
from seqvae.kernels.noise import normal_tile

# Integers whose value must not be compiled in: each would double the kernels to compile.
FORWARD_VALUES = [
    *("rows", "dim", "mean_stride", "log_variance_stride", "samples", "offset_value"),
    *("has_offset", "has_mask", "has_rows"),
]
BACKWARD_VALUES = [
    *(
        "rows",
        "dim",
        "mean_stride",
        "log_variance_stride",
        "d_mean_stride",
        "d_log_variance_stride",
    ),
    *("samples", "offset_value", "width", "has_offset", "has_mask", "has_rows", "has_dimensions"),
]


@triton.jit
def _forward_tile(
    mean,
    log_variance,
    z,
    kl,
    seed,
    stream,
    row,
    inside,
    kept,
    rows,
    dim,
    mean_stride,
    log_variance_stride,
    samples,
    has_rows,
    noise_scale,
    low,
    high,
    nats,
    KL: tl.constexpr,
    CLAMP: tl.constexpr,
    MANY: tl.constexpr,
    WIDTH: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROUNDS: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Write z and what of the KL belongs to these rows; return twice the KL [ROWS, BLOCK_D]."""
    lane = tl.arange(0, BLOCK_D)
    here = inside[:, None] & (lane < dim)[None, :]
    valid = kept[:, None] & (lane < dim)[None, :]
    # Rows that do not count are not read: they may be NaN. They become mean 0, log-variance 0, noise 0.
    m = widen(load_tile(mean, row, mean_stride, lane, valid, WIDTH, ALIGNED))
    v = widen(load_tile(log_variance, row, log_variance_stride, lane, valid, WIDTH, ALIGNED))
    if CLAMP:
        v = clamped(v, low, high, valid)
    deviation = root_exp(v, FAST)
    precise: tl.constexpr = mean.dtype.element_ty.primitive_bitwidth > 16 or not FAST
    doubled = divergence(m, v, variance_minus_1(v, deviation, precise, FAST))
    if KL == "elements":
        store_tile(kl, 0.5 * doubled, row, dim, lane, here, WIDTH, ALIGNED)
    else:
        row_kl = 0.5 * tl.sum(doubled, 1)
        row_kl = tl.maximum(row_kl, nats, propagate_nan=tl.PropagateNan.ALL)
        tl.store(kl + row, tl.where(kept, row_kl, 0.0), mask=inside & (has_rows != 0))
    scale = tl.where(kept, noise_scale, 0.0)
    if not MANY:
        # Without a loop the kernels are 5 (forward) and 10 % (backward) shorter.
        samples = 1
    at = row
    for _ in range(samples):
        noise = normal_tile(seed, stream, at, dim, scale, WIDTH, ROUNDS, FAST, BLOCK_D)
        drawn = tl.fma(deviation, noise.to(m.dtype), m)
        store_tile(z, drawn, at, dim, lane, here, WIDTH, ALIGNED)
        # int64, unlike a product of the sample and the rows.
        at += rows
    return doubled


@triton.jit(do_not_specialize=FORWARD_VALUES)
def gaussian_latent_forward_kernel(
    mean,  # [N, D]
    log_variance,  # [N, D]
    mask,  # [N]
    seed,  # [1]
    offset,  # [1]
    z,  # [S, N, D]
    kl,  # [N, D] if KL is "elements", else [N]
    partial,  # [PROGRAMS, D]
    counts,  # [PROGRAMS]
    rows,
    dim,
    mean_stride,
    log_variance_stride,
    samples,
    offset_value,
    has_offset,
    has_mask,
    has_rows,
    noise_scale,
    low,
    high,
    nats,
    KL: tl.constexpr,
    CLAMP: tl.constexpr,
    MANY: tl.constexpr,
    WIDTH: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROUNDS: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """KL is "elements" or "rows", one tile a program, or "dimensions", where a program takes every PROGRAMS-th tile."""
    # Says that WIDTH divides it, as in load_tile.
    dim = dim // WIDTH * WIDTH
    key = tl.load(seed)
    stream = load_stream(offset, offset_value, has_offset)
    first = tl.program_id(0).to(tl.int64) * BLOCK_M
    if KL == "dimensions":
        wide: tl.constexpr = tl.float64 if mean.dtype.element_ty == tl.float64 else tl.float32
        total = tl.zeros([BLOCK_M, BLOCK_D], wide)
        count = tl.zeros([BLOCK_M], tl.float32)
        step = tl.num_programs(0).to(tl.int64) * BLOCK_M
        for start in range(first, rows, step):
            row = start + tl.arange(0, BLOCK_M)
            inside, kept = rows_that_count(mask, row, rows, has_mask)
            total += _forward_tile(
                *(mean, log_variance, z, kl, key, stream, row, inside, kept, rows, dim),
                *(
                    mean_stride,
                    log_variance_stride,
                    samples,
                    has_rows,
                    noise_scale,
                    low,
                    high,
                    nats,
                ),
                *(KL, CLAMP, MANY, WIDTH, ALIGNED, ROUNDS, FAST, BLOCK_D),
            )
            count += kept.to(tl.float32)
        lane = tl.arange(0, BLOCK_D)
        program = tl.program_id(0).to(tl.int64)
        tl.store(partial + program * dim + lane, 0.5 * tl.sum(total, 0), mask=lane < dim)
        tl.store(counts + program, tl.sum(count, 0))
    else:
        row = first + tl.arange(0, BLOCK_M)
        inside, kept = rows_that_count(mask, row, rows, has_mask)
        _forward_tile(
            *(mean, log_variance, z, kl, key, stream, row, inside, kept, rows, dim),
            *(mean_stride, log_variance_stride, samples, has_rows, noise_scale, low, high, nats),
            *(KL, CLAMP, MANY, WIDTH, ALIGNED, ROUNDS, FAST, BLOCK_D),
        )


@triton.jit(do_not_specialize=["programs", "dim", "width"])
def gaussian_latent_means_kernel(
    partial,  # [PROGRAMS, D]
    counts,  # [PROGRAMS]
    kl,  # [D / width]
    scale,  # [D]
    programs,
    dim,
    width,
    nats,
    BLOCK_P: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """Means over rows, summed over groups of ``width`` dimensions and clamped; a program takes BLOCK_G groups.

    ``scale`` is what the gradient of a group's KL reaches a row's dimension with: 1 / rows that count, or 0 below the clamp.
    """
    slot = tl.arange(0, BLOCK_G * BLOCK_W)
    lane = slot % BLOCK_W
    column = (tl.program_id(0) * BLOCK_G + slot // BLOCK_W) * width + lane
    valid = (lane < width) & (column < dim)
    turn = tl.arange(0, BLOCK_P)
    total = tl.zeros([BLOCK_P, BLOCK_G * BLOCK_W], partial.dtype.element_ty)
    count = tl.zeros([BLOCK_P], tl.float32)
    for start in range(0, programs, BLOCK_P):
        program = start + turn
        there = program < programs
        at = program.to(tl.int64)[:, None] * dim + column[None, :]
        total += tl.load(partial + at, mask=there[:, None] & valid[None, :], other=0.0)
        count += tl.load(counts + program, mask=there, other=0.0)
    rows = tl.sum(count, 0)
    share = tl.where(rows > 0, 1.0 / tl.maximum(rows, 1.0), 0.0)
    mean = tl.reshape(tl.sum(total, 0) * share, [BLOCK_G, BLOCK_W])
    group_kl = tl.sum(mean, 1)
    passes = (group_kl >= nats) | (nats == float("-inf"))
    group = tl.program_id(0) * BLOCK_G + tl.arange(0, BLOCK_G)
    group_kl = tl.maximum(group_kl, nats, propagate_nan=tl.PropagateNan.ALL)
    tl.store(kl + group, group_kl, mask=group * width < dim)
    reach = tl.broadcast_to(tl.where(passes, share, 0.0)[:, None], [BLOCK_G, BLOCK_W])
    tl.store(scale + column, tl.reshape(reach, [BLOCK_G * BLOCK_W]), mask=valid)


@triton.jit
def _sample_gradients(
    d_z,
    seed,
    stream,
    at,
    dim,
    scales,
    lane,
    valid,
    WIDTH: tl.constexpr,
    ROUNDS: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """What a sample's gradient adds to those of the mean and of the deviation."""
    of_z = widen(load_tile(d_z, at, dim, lane, valid, WIDTH, True))
    noise = normal_tile(seed, stream, at, dim, scales, WIDTH, ROUNDS, FAST, BLOCK_D)
    return of_z, of_z * noise.to(of_z.dtype)


@triton.jit(do_not_specialize=BACKWARD_VALUES)
def gaussian_latent_backward_kernel(
    mean,  # [N, D]
    log_variance,  # [N, D]
    mask,  # [N]
    seed,  # [1]
    offset,  # [1]
    d_z,  # [S, N, D]
    d_kl,  # [N, D] if KL is "elements", else [N]
    d_dimensions,  # [D / width]
    scale,  # [D]
    d_mean,  # [N, D]
    d_log_variance,  # [N, D]
    rows,
    dim,
    mean_stride,
    log_variance_stride,
    d_mean_stride,
    d_log_variance_stride,
    samples,
    offset_value,
    width,
    has_offset,
    has_mask,
    has_rows,
    has_dimensions,
    noise_scale,
    low,
    high,
    nats,
    KL: tl.constexpr,
    FREE: tl.constexpr,
    CLAMP: tl.constexpr,
    MANY: tl.constexpr,
    WIDTH: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROUNDS: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One tile a program. KL: "none", "elements", or "reduced": row gradients, dimension gradients, or both.

    With FREE a row's gradient passes where its KL is at least ``nats``, the rule of ``torch.clamp_min``.
    """
    dim = dim // WIDTH * WIDTH
    key = tl.load(seed)
    stream = load_stream(offset, offset_value, has_offset)
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside, kept = rows_that_count(mask, row, rows, has_mask)
    lane = tl.arange(0, BLOCK_D)
    here = inside[:, None] & (lane < dim)[None, :]
    valid = kept[:, None] & (lane < dim)[None, :]
    m = widen(load_tile(mean, row, mean_stride, lane, valid, WIDTH, ALIGNED))
    given = widen(load_tile(log_variance, row, log_variance_stride, lane, valid, WIDTH, ALIGNED))
    v = given
    if CLAMP:
        v = clamped(given, low, high, valid)
    deviation = root_exp(v, FAST)
    scales = tl.where(kept, noise_scale, 0.0)
    if MANY:
        of_mean = tl.zeros_like(m)
        of_deviation = tl.zeros_like(m)
        at = row
        for _ in range(samples):
            of_z, of_noise = _sample_gradients(
                *(d_z, key, stream, at, dim, scales, lane, valid),
                *(WIDTH, ROUNDS, FAST, BLOCK_D),
            )
            of_mean += of_z
            of_deviation += of_noise
            at += rows
    else:
        of_mean, of_deviation = _sample_gradients(
            *(d_z, key, stream, row, dim, scales, lane, valid & (samples != 0)),
            *(WIDTH, ROUNDS, FAST, BLOCK_D),
        )
    of_log_variance = of_deviation * deviation
    if KL != "none":
        precise: tl.constexpr = mean.dtype.element_ty.primitive_bitwidth > 16 or not FAST
        surplus = variance_minus_1(v, deviation, precise, FAST)
        if KL == "elements":
            of_kl = load_tile(d_kl, row, dim, lane, valid, WIDTH, ALIGNED).to(m.dtype)
        else:
            of_row = tl.load(d_kl + row, mask=kept & (has_rows != 0), other=0.0).to(m.dtype)
            if FREE:
                row_kl = 0.5 * tl.sum(divergence(m, v, surplus), 1)
                of_row = tl.where(row_kl >= nats, of_row, 0.0)
            there = (lane < dim) & (has_dimensions != 0)
            of_lane = tl.load(d_dimensions + lane // width, mask=there, other=0.0)
            of_lane = of_lane * tl.load(scale + lane, mask=there, other=0.0)
            # Rows that do not count have m = surplus = 0.
            of_kl = of_row[:, None] + of_lane[None, :].to(m.dtype)
        of_mean = tl.fma(of_kl, m, of_mean)
        of_log_variance = tl.fma(of_kl, surplus, of_log_variance)
    of_log_variance *= 0.5
    if CLAMP:
        # The rule of torch.clamp: at the borders the gradient passes, at NaN it does not.
        of_log_variance = tl.where(v == given, of_log_variance, 0.0)
    store_tile(d_mean, of_mean, row, d_mean_stride, lane, here, WIDTH, ALIGNED)
    store_tile(
        d_log_variance, of_log_variance, row, d_log_variance_stride, lane, here, WIDTH, ALIGNED
    )
