"""Noise inside a kernel: the Triton twin of ``seqvae/ops/philox.py``.

The words are those of the reference bit for bit. The normals agree to rounding where FAST is False (1e-6); with FAST
they come from the GPU's approximate logarithm, root, sine and cosine: within 1e-5 where a pair's radius is above 0.02
(0.02 % of the pairs are not), below that within 6e-4, as the logarithm is off by 2^-22 near 1. There the reference
itself steps by 3e-4: its uniforms near 1 lie 6e-8 apart. ``tl.randn4x`` costs 91 instructions an element of the forward
kernel, this 42 (sm_90): four values a call, two instead of three instructions for a product, no slow path for angles
that never exceed a turn.
"""

# Triton's functions have no types.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

# The constants of seqvae/ops/philox.py.
UNIFORM_SCALE = tl.constexpr(4.6566127342e-10)
UNIFORM_FLOOR = tl.constexpr(1e-7)
TURN = tl.constexpr(6.283185307179586)
ANGLE_SCALE = tl.constexpr(6.283185307179586 * 4.6566127342e-10)
LN_4 = tl.constexpr(1.3862943611198906)


@triton.jit
def approximate(x, OPERATION: tl.constexpr):
    """One instruction of the special function unit: lg2, ex2, sqrt, sin or cos. The interpreter has none."""
    return tl.inline_asm_elementwise(
        OPERATION + ".approx.ftz.f32 $0, $1;",
        "=f,f",
        [x],
        dtype=tl.float32,
        is_pure=True,
        pack=1,
    )


@triton.jit
def philox(seed, stream, block, ROUNDS: tl.constexpr):
    """Four 32-bit words of each block: the key is the seed, the counter the block and then the stream.

    All three are int64. A product of 64 bits is one instruction; ``tl.philox`` makes two of it.
    """
    key0 = seed.to(tl.uint32)
    key1 = (seed >> 32).to(tl.uint32)
    c0 = block.to(tl.uint32)
    c1 = (block >> 32).to(tl.uint32)
    c2 = stream.to(tl.uint32)
    c3 = (stream >> 32).to(tl.uint32)
    for _ in tl.static_range(ROUNDS):
        product0 = c0.to(tl.uint64) * 0xD2511F53
        product1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (product1 >> 32).to(tl.uint32) ^ c1 ^ key0
        c1 = product1.to(tl.uint32)
        c2 = (product0 >> 32).to(tl.uint32) ^ c3 ^ key1
        c3 = product0.to(tl.uint32)
        key0 = tl.add(key0, 0x9E3779B9, sanitize_overflow=False)
        key1 = tl.add(key1, 0xBB67AE85, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def folded(word, FAST: tl.constexpr):
    """A word as a float32 in [0, 2^31]; both halves of the range fall on each other."""
    signed = word.to(tl.int32, bitcast=True)
    if FAST:
        # Off by 1 of 2^31 for the upper half, and two instructions less.
        return tl.abs(signed.to(tl.float32))
    else:
        return tl.where(signed < 0, -signed - 1, signed).to(tl.float32)


@triton.jit
def normal_pair(word1, word2, scale, FAST: tl.constexpr):
    """Box-Muller: two words to two independent normals times ``scale``."""
    uniform = tl.maximum(folded(word1, FAST) * UNIFORM_SCALE, UNIFORM_FLOOR)
    if FAST:
        radius = approximate(approximate(uniform, "lg2") * -LN_4, "sqrt") * scale
        angle = folded(word2, FAST) * ANGLE_SCALE
        return radius * approximate(angle, "cos"), radius * approximate(angle, "sin")
    else:
        radius = tl.sqrt(-2.0 * tl.log(uniform)) * scale
        angle = TURN * (folded(word2, FAST) * UNIFORM_SCALE)
        return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def normal_quad(seed, stream, block, scale, ROUNDS: tl.constexpr, FAST: tl.constexpr):
    """The four normals of each block times ``scale``."""
    word0, word1, word2, word3 = philox(seed, stream, block, ROUNDS)
    x0, x1 = normal_pair(word0, word1, scale, FAST)
    x2, x3 = normal_pair(word2, word3, scale, FAST)
    return x0, x1, x2, x3


@triton.jit
def normal_tile(
    seed,
    stream,
    row,
    dim,
    scale,
    WIDTH: tl.constexpr,
    ROUNDS: tl.constexpr,
    FAST: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """[ROWS, BLOCK_D] normals times ``scale`` [ROWS]: (i, j) is element row[i] * dim + j of the stream.

    WIDTH divides ``dim``: 8 or 4 if a thread should hold as many neighbours, so that what it loads and stores 16 bytes
    at a time needs no shuffle; 1 for any ``dim``, at four times the noise's cost.
    """
    rows: tl.constexpr = row.shape[0]
    scale = scale[:, None]
    if WIDTH == 1:
        at = row[:, None] * dim + tl.arange(0, BLOCK_D)[None, :]
        word0, word1, word2, word3 = philox(seed, stream, at >> 2, ROUNDS)
        lane = (at & 3).to(tl.int32)
        word1 = tl.where(lane < 2, word1, word3)
        x, y = normal_pair(tl.where(lane < 2, word0, word2), word1, scale, FAST)
        tile = tl.where((lane & 1) == 0, x, y)
    elif WIDTH == 4:
        block = row[:, None] * (dim // 4) + tl.arange(0, BLOCK_D // 4)[None, :]
        x0, x1, x2, x3 = normal_quad(seed, stream, block, scale, ROUNDS, FAST)
        tile = tl.reshape(tl.join(tl.join(x0, x2), tl.join(x1, x3)), [rows, BLOCK_D])
    else:
        tl.static_assert(WIDTH == 8)
        block = row[:, None] * (dim // 4) + 2 * tl.arange(0, BLOCK_D // 8)[None, :]
        x0, x1, x2, x3 = normal_quad(seed, stream, block, scale, ROUNDS, FAST)
        x4, x5, x6, x7 = normal_quad(seed, stream, block + 1, scale, ROUNDS, FAST)
        even = tl.join(tl.join(x0, x4), tl.join(x2, x6))
        odd = tl.join(tl.join(x1, x5), tl.join(x3, x7))
        tile = tl.reshape(tl.join(even, odd), [rows, BLOCK_D])
    return tile
