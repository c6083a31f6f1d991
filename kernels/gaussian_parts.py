"""What the Gaussian latent's kernels share: statistics, deviation and divergence of a tile."""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

from seqvae.kernels.noise import approximate

HALF_LOG2_E = tl.constexpr(0.7213475204444817)
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2_HIGH = tl.constexpr(0.693145751953125)
LN_2_LOW = tl.constexpr(1.428606765330187e-06)
# 1.5 * 2^23: adding and subtracting it rounds a float32 to an integer.
ROUNDER = tl.constexpr(12582912.0)


@triton.jit
def widen(x):
    """In the dtype of all arithmetic: float32, or float64 under a gradient check."""
    if x.dtype == tl.float64:
        return x
    else:
        return x.to(tl.float32)


@triton.jit
def load_stream(offset, value, has_offset):
    """The stream: a number, or on top of it what the device holds."""
    return value + tl.load(offset, mask=has_offset != 0, other=0)


@triton.jit
def rows_that_count(mask, row, rows, has_mask):
    """[ROWS] which rows exist, and which of them count."""
    inside = row < rows
    kept = tl.load(mask + row, mask=inside & (has_mask != 0), other=1)
    return inside, inside & (kept != 0)


@triton.jit
def load_tile(pointer, row, stride, lane, valid, WIDTH: tl.constexpr, ALIGNED: tl.constexpr):
    """[ROWS, BLOCK_D] of a matrix whose rows are ``stride`` apart; 0 where not valid, unread."""
    if ALIGNED:
        # Says that WIDTH divides it, which the compiler needs to load 16 bytes at a time.
        stride = stride // WIDTH * WIDTH
    at = (row * stride)[:, None] + lane[None, :]
    return tl.load(pointer + at, mask=valid, other=0.0)


@triton.jit
def store_tile(
    pointer, value, row, stride, lane, valid, WIDTH: tl.constexpr, ALIGNED: tl.constexpr
):
    """The opposite of ``load_tile``."""
    if ALIGNED:
        stride = stride // WIDTH * WIDTH
    at = (row * stride)[:, None] + lane[None, :]
    tl.store(pointer + at, value.to(pointer.dtype.element_ty), mask=valid)


@triton.jit
def clamped(x, low, high, valid):
    """Clamped as ``torch.clamp`` does, which keeps NaN; 0 where not valid."""
    x = tl.maximum(x, low, propagate_nan=tl.PropagateNan.ALL)
    x = tl.minimum(x, high, propagate_nan=tl.PropagateNan.ALL)
    return tl.where(valid, x, 0.0)


@triton.jit
def root_exp(x, FAST: tl.constexpr):
    """exp(x / 2)."""
    if FAST:
        return approximate(x * HALF_LOG2_E, "ex2")
    else:
        return tl.exp(0.5 * x)


@triton.jit
def expm1(x, FAST: tl.constexpr):
    """exp(x) - 1 to 1.5 units in the last place: near 0 the difference would cancel, and a KL with it.

    exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, and a Taylor polynomial for exp(r) - 1 (remainder 2e-8).
    """
    if x.dtype == tl.float64:
        return tl.exp(x) - 1.0
    else:
        bounded = tl.maximum(x, -100.0)
        n = (bounded * LOG2_E + ROUNDER) - ROUNDER
        r = tl.fma(n, -LN_2_LOW, tl.fma(n, -LN_2_HIGH, bounded))
        series = tl.fma(r, 1.0 / 5040, 1.0 / 720)
        series = tl.fma(r, series, 1.0 / 120)
        series = tl.fma(r, series, 1.0 / 24)
        series = tl.fma(r, series, 1.0 / 6)
        series = tl.fma(r, series, 0.5)
        series = tl.fma(r * r, series, r)
        power = approximate(n, "ex2") if FAST else tl.exp2(n)
        return tl.fma(power, series, power - 1.0)


@triton.jit
def variance_minus_1(log_variance, deviation, PRECISE: tl.constexpr, FAST: tl.constexpr):
    """exp(log_variance) - 1; without PRECISE off by up to 5e-7, which 16-bit inputs do not show."""
    if PRECISE:
        return expm1(log_variance, FAST)
    else:
        return tl.fma(deviation, deviation, -1.0)


@triton.jit
def divergence(mean, log_variance, surplus):
    """Twice the KL to the standard normal, with ``surplus`` = exp(log_variance) - 1."""
    return tl.fma(mean, mean, surplus - log_variance)
