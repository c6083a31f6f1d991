"""Kernels without a gradient: z alone, and each row's KL alone; ``seqvae.ops.sample_latent``."""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

from seqvae.kernels.gaussian_parts import (
    divergence,
    load_stream,
    load_tile,
    root_exp,
    store_tile,
    variance_minus_1,
    widen,
)
from seqvae.kernels.noise import normal_tile

SAMPLE_VALUES = [
    *("rows", "dim", "mean_stride", "log_variance_stride", "samples", "offset_value", "has_offset"),
]
KL_VALUES = ["rows", "dim", "mean_stride", "log_variance_stride"]


@triton.jit(do_not_specialize=SAMPLE_VALUES)
def sample_latent_kernel(
    mean,  # [N, D]
    log_variance,  # [N, D]
    seed,  # [1]
    offset,  # [1]
    z,  # [S, N, D]
    rows,
    dim,
    mean_stride,
    log_variance_stride,
    samples,
    offset_value,
    has_offset,
    noise_scale,
    MANY: tl.constexpr,
    WIDTH: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROUNDS: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One tile a program: the z of ``gaussian_latent_forward_kernel``."""
    dim = dim // WIDTH * WIDTH
    key = tl.load(seed)
    stream = load_stream(offset, offset_value, has_offset)
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    lane = tl.arange(0, BLOCK_D)
    valid = (row < rows)[:, None] & (lane < dim)[None, :]
    m = widen(load_tile(mean, row, mean_stride, lane, valid, WIDTH, ALIGNED))
    v = widen(load_tile(log_variance, row, log_variance_stride, lane, valid, WIDTH, ALIGNED))
    deviation = root_exp(v, FAST)
    scale = tl.where(row < rows, noise_scale, 0.0)
    if not MANY:
        samples = 1
    at = row
    for _ in range(samples):
        noise = normal_tile(key, stream, at, dim, scale, WIDTH, ROUNDS, FAST, BLOCK_D)
        drawn = tl.fma(deviation, noise.to(m.dtype), m)
        store_tile(z, drawn, at, dim, lane, valid, WIDTH, ALIGNED)
        # int64, unlike a product of the sample and the rows.
        at += rows


@triton.jit(do_not_specialize=KL_VALUES)
def kl_rows_kernel(
    mean,  # [N, D]
    log_variance,  # [N, D]
    kl,  # [N]
    rows,
    dim,
    mean_stride,
    log_variance_stride,
    nats,
    WIDTH: tl.constexpr,
    ALIGNED: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One tile a program: KL to the standard normal, at least ``nats``."""
    dim = dim // WIDTH * WIDTH
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    lane = tl.arange(0, BLOCK_D)
    valid = (row < rows)[:, None] & (lane < dim)[None, :]
    m = widen(load_tile(mean, row, mean_stride, lane, valid, WIDTH, ALIGNED))
    v = widen(load_tile(log_variance, row, log_variance_stride, lane, valid, WIDTH, ALIGNED))
    precise: tl.constexpr = mean.dtype.element_ty.primitive_bitwidth > 16 or not FAST
    surplus = variance_minus_1(v, root_exp(v, FAST), precise, FAST)
    row_kl = 0.5 * tl.sum(divergence(m, v, surplus), 1)
    row_kl = tl.maximum(row_kl, nats, propagate_nan=tl.PropagateNan.ALL)
    tl.store(kl + row, row_kl, mask=row < rows)
