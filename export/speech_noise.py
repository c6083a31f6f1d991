"""The noise of frames, as nodes of a graph: bit-equal to `seqvae.ops.philox` where it is integers.

Written node by node: torch's exporter takes seven seconds for as much. As in `seqvae.export.noise`, all
that is divided or multiplied is non-negative and below 2**63, whatever a runtime does beyond.
"""

import math

import numpy as np

from seqvae.export.stitch import Scope
from seqvae.ops.philox import MASK, MULTIPLIERS, ROUNDS, UNIFORM_FLOOR, UNIFORM_SCALE, WEYL

_HALF, _WORD = 1 << 16, 1 << 32
_FLOAT = 1  # ONNX's number of the element type


def frame_uniforms(scope: Scope, seed: str, first: str, frames: str, width: int) -> str:
    """What a vocoder draws: `seqvae.vocoders.Vocoder.draw` with a seed a row.

    Args:
        scope: where the nodes go.
        seed: any int64 [B, 1].
        first: number of the first frame, int64 [B, 1], 0 or more.
        frames: T, int64 [].
        width: numbers for each frame.

    Returns:
        float32 [B, T, width] in [0, 1).
    """
    frame = scope.add("Add", first, _range(scope, frames))
    # A row for every frame: [B, T, 1].
    last = scope.constant([2])
    frame, key = scope.add("Unsqueeze", frame, last), scope.add("Unsqueeze", seed, last)
    zero, block = scope.constant(0), scope.constant(np.arange((width + 3) // 4))
    words = philox(scope, key, (block, zero, zero, frame))
    lanes = _side_by_side(scope, [_uniform(scope, word) for word in words])
    return _slice(scope, lanes, 0, width, axis=2)


def frame_normals(
    scope: Scope, seed: str, first: str, steps: str, dimension: int, stream: int = 0
) -> str:
    """The noise of a frame-level latent: rows of `seqvae.ops.philox.normal(seed, (all, D), stream)`.

    Args:
        scope: where the nodes go.
        seed: any int64 [B, 1].
        first: number of the first vector, int64 [B, 1], 0 or more.
        steps: T', int64 [].
        dimension: D.
        stream: of the noise under its seed.

    Returns:
        float32 [B, T', D], standard normal.
    """
    size = scope.constant(dimension)
    begin, count = scope.add("Mul", first, size), scope.add("Mul", steps, size)
    four = scope.constant(4)
    # One block more than the vectors fill: a row may begin within one.
    blocks = scope.add("Div", scope.add("Add", count, scope.constant(7)), four)
    counter = scope.add("Add", scope.add("Div", begin, four), _range(scope, blocks))
    high = scope.add("Div", counter, scope.constant(_WORD))
    low = scope.add("BitwiseAnd", counter, scope.constant(MASK))
    words = philox(scope, seed, (low, high, scope.constant(stream), scope.constant(0)))
    pairs = [_uniform(scope, word) for word in words]
    lanes = _side_by_side(scope, [*_normals(scope, *pairs[:2]), *_normals(scope, *pairs[2:])])
    lanes = scope.add("Reshape", lanes, scope.constant([0, -1]))
    within = scope.add("BitwiseAnd", begin, scope.constant(3))
    chosen = scope.add("Add", within, _range(scope, count))
    found = scope.add("GatherElements", lanes, chosen, axis=1)
    return scope.add("Reshape", found, scope.constant([0, -1, dimension]))


def philox(scope: Scope, seed: str, counter: tuple[str, str, str, str]) -> tuple[str, ...]:
    """The four words of `seqvae.ops.philox.philox4x32`.

    Args:
        scope: where the nodes go.
        seed: any int64.
        counter: its words, int64 in [0, 2**32); all shapes broadcast.
    """
    mask, word = scope.constant(MASK), scope.constant(_WORD)
    # A mask reads the two's complement of a negative seed; the quotient that follows is exact.
    low = scope.add("BitwiseAnd", seed, mask)
    high = scope.add("BitwiseAnd", scope.add("Div", scope.add("Sub", seed, low), word), mask)
    c0, c1, c2, c3 = counter
    for number in range(ROUNDS):
        keys = [
            scope.add("BitwiseAnd", scope.add("Add", key, scope.constant(number * weyl)), mask)
            for key, weyl in ((low, WEYL[0]), (high, WEYL[1]))
        ]
        upper0, lower0 = _product(scope, c0, MULTIPLIERS[0])
        upper1, lower1 = _product(scope, c2, MULTIPLIERS[1])
        c0 = scope.add("BitwiseXor", upper1, scope.add("BitwiseXor", c1, keys[0]))
        c2 = scope.add("BitwiseXor", upper0, scope.add("BitwiseXor", c3, keys[1]))
        c1, c3 = lower1, lower0
    # Words whose counters are constants came out smaller than the others.
    shape = scope.add("Shape", scope.add("Add", c0, c2))
    return tuple(scope.add("Expand", one, shape) for one in (c0, c1, c2, c3))


def _product(scope: Scope, value: str, factor: int) -> tuple[str, str]:
    """Upper and lower 32 bits of the product of two words, in halves of 16 bits."""
    half, lowest = scope.constant(_HALF), scope.constant(_HALF - 1)
    below = scope.add("Mul", value, scope.constant(factor % _HALF))
    above = scope.add("Mul", value, scope.constant(factor // _HALF))
    above = scope.add("Add", above, scope.add("Div", below, half))
    lower = scope.add("Mul", scope.add("BitwiseAnd", above, lowest), half)
    lower = scope.add("Add", lower, scope.add("BitwiseAnd", below, lowest))
    return scope.add("Div", above, half), lower


def _uniform(scope: Scope, word: str) -> str:
    """As `seqvae.ops.philox.word_to_uniform`."""
    folded = scope.add("Min", word, scope.add("Sub", scope.constant(MASK), word))
    number = scope.add("Cast", folded, to=_FLOAT)
    return scope.add("Mul", number, scope.constant(UNIFORM_SCALE, np.float32))


def _normals(scope: Scope, one: str, two: str) -> tuple[str, str]:
    """As `seqvae.ops.philox.pair_to_normal`."""
    floored = scope.add("Max", one, scope.constant(UNIFORM_FLOOR, np.float32))
    squared = scope.add("Mul", scope.add("Log", floored), scope.constant(-2, np.float32))
    radius = scope.add("Sqrt", squared)
    angle = scope.add("Mul", two, scope.constant(2.0 * math.pi, np.float32))
    return (
        scope.add("Mul", radius, scope.add("Cos", angle)),
        scope.add("Mul", radius, scope.add("Sin", angle)),
    )


def _range(scope: Scope, count: str) -> str:
    return scope.add("Range", scope.constant(0), count, scope.constant(1))


def _side_by_side(scope: Scope, values: list[str]) -> str:
    """Values [..., N], their elements in turn, as [..., len(values) * N]."""
    last = scope.constant([-1])
    parts = [scope.add("Unsqueeze", value, last) for value in values]
    together = scope.add("Concat", *parts, axis=-1)
    shape = scope.add("Concat", scope.add("Shape", values[0], end=-1), last, axis=0)
    return scope.add("Reshape", together, shape)


def _slice(scope: Scope, value: str, first: int, last: int, axis: int) -> str:
    bounds = [scope.constant([number]) for number in (first, last, axis)]
    return scope.add("Slice", value, *bounds)
