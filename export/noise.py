"""The noise of `seqvae.ops.philox` as modules that export to ONNX, with a seed and a sample a row.

The integers are bit-equal to those of PyTorch in every runtime: int64, where all that is divided,
masked or multiplied is non-negative and below 2**63, so that it does not matter how a runtime
rounds quotients or wraps products. Words are multiplied in halves of 16 bits.
"""

import math

import torch
from torch import Tensor, nn

from seqvae.ops.philox import MASK, MULTIPLIERS, ROUNDS, UNIFORM_FLOOR, UNIFORM_SCALE, WEYL

HALF = 1 << 16
WORD = 1 << 32


class Uniforms(nn.Module):
    """The numbers that draw the tokens of a text, those of `seqvae.tasks.sampling.token_uniforms`.

    All are made before the loop that writes: some runtimes have no integer operations on a GPU.
    """

    def forward(self, seed: Tensor, sample: Tensor, steps: Tensor) -> Tensor:
        """The numbers of the first tokens.

        Args:
            seed: any int64, shape [B, 1].
            sample: which text under that seed, int64, 0 to 2**31 - 2, shape [B, 1].
            steps: T, int64, 0 or more, shape [].

        Returns:
            float32 [B, T] in [0, 1).
        """
        count = steps.item()
        torch._check(count >= 0)  # type: ignore[no-untyped-call]
        block = torch.arange((count + 3) // 4, device=seed.device)
        words = philox(seed, block[None], torch.zeros_like(seed), sample + 1)
        return to_uniform(words)[:, :count]


class Normals(nn.Module):
    """The noise of z: elements `sample` * D to `sample` * D + D - 1 of `seqvae.ops.philox.normal`.

    Args:
        dimension: D.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, seed: Tensor, sample: Tensor) -> Tensor:
        """The noise of each row.

        Args:
            seed: any int64, shape [B, 1].
            sample: which vector under that seed, int64, 0 to 2**31 - 2, shape [B, 1].

        Returns:
            float32 [B, D], standard normal.
        """
        first = sample * self.dimension
        # Where four does not divide D, a row may begin within a block.
        shifted = self.dimension % 4 > 0
        blocks = (self.dimension + 3) // 4 + shifted
        counter = quotient(first, 4) + torch.arange(blocks, device=seed.device)
        high = quotient(counter, WORD)
        words = philox(seed, counter & MASK, high, torch.zeros_like(high))
        one, two = to_uniform(words).view(-1, 2 * blocks, 2).unbind(2)
        # As `seqvae.ops.philox.pair_to_normal`.
        radius = torch.sqrt(-2.0 * torch.log(one.clamp_min(UNIFORM_FLOOR)))
        angle = (2.0 * math.pi) * two
        lanes = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 2)
        lanes = lanes.view(-1, 4 * blocks)
        if not shifted:
            return lanes
        return lanes.gather(1, (first & 3) + torch.arange(self.dimension, device=seed.device))


def philox(seed: Tensor, c0: Tensor, c1: Tensor, c3: Tensor) -> Tensor:
    """Words of `seqvae.ops.philox.philox4x32`, those of one block side by side.

    Args:
        seed: any int64, shape [B, 1].
        c0: first word of the counter, int64 in [0, 2**32), shape [B or 1, N].
        c1: second word, shape [B, N or 1].
        c3: fourth word, shaped like `c1`; the third is 0.

    Returns:
        int64 [B, 4 * N] in [0, 2**32).
    """
    # A mask reads the two's complement of a negative seed; the quotient that follows is exact, so
    # that rounding toward zero or toward minus infinity is the same.
    low = seed & MASK
    high = quotient(seed - low, WORD) & MASK
    # Words 0 and 2 are multiplied, words 3 and 1 wait for the products: axis 0 holds both of a
    # kind, so that each operation serves two.
    factor, other = torch.stack([c0, torch.zeros_like(c0)]), torch.stack([c3, c1])

    def pair(first: int, second: int) -> Tensor:
        return torch.tensor([[[first]], [[second]]], device=seed.device)

    above = pair(*(m // HALF for m in MULTIPLIERS))
    below = pair(*(m % HALF for m in MULTIPLIERS))
    swap = torch.tensor([1, 0], device=seed.device)
    number = torch.arange(ROUNDS, device=seed.device).view(-1, 1, 1, 1)
    keys = (torch.stack([high, low]) + number * pair(WEYL[1], WEYL[0])) & MASK
    # Keys come with an axis for the round, [1, 2, B, 1], which the words take over.
    for key in torch.split(keys, 1):
        # The product is upper * 2**16 + lower % 2**16.
        lower = factor * below
        upper = factor * above + quotient(lower, HALF)
        words = quotient(upper, HALF) ^ other ^ key
        factor = words.index_select(-3, swap)
        other = (upper & (HALF - 1)) * HALF + (lower & (HALF - 1))
    # There are words 2 and 0, then words 3 and 1.
    order = torch.tensor([1, 3, 0, 2], device=seed.device)
    return torch.cat([words, other], 1).index_select(1, order).permute(2, 3, 1, 0).flatten(1)


def to_uniform(word: Tensor) -> Tensor:
    """Words in [0, 2**32) to float32 in [0, 1): `seqvae.ops.philox.word_to_uniform`."""
    return torch.minimum(word, MASK - word).float() * UNIFORM_SCALE


def quotient(number: Tensor, divisor: int) -> Tensor:
    """`number` // `divisor`, both not negative or without remainder; one node of a graph.

    PyTorch's own division exports to six nodes that repair the rounding of negative quotients.
    """
    if not torch.compiler.is_exporting():
        return number // divisor
    return torch.onnx.ops.symbolic(
        "Div",
        (number, torch.tensor(divisor, device=number.device)),
        dtype=torch.int64,
        shape=number.shape,
        version=14,
    )
