"""Noise from a counter: Philox4x32-10, vectorised in torch.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The noise at a
position is a pure function of (seed, offset, position), so forward and backward, CPU and GPU, and
any split of the work over threads see the same numbers. The integers are bit-equal everywhere;
the normals agree to rounding of ``log``, ``sin`` and ``cos``. The conversions to floats are those of
``triton.language.rand4x`` and ``randn4x``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

MASK = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
# The largest scale for which 2147483647 * scale < 1 in float32.
UNIFORM_SCALE = 4.6566127342e-10
# Keeps log(u) finite: normals never exceed sqrt(-2 log 1e-7) = 5.68.
UNIFORM_FLOOR = 1e-7


def philox4x32(
    seed: Tensor, counter: Tensor, offset: Tensor | int = 0, rounds: int = ROUNDS
) -> Words:
    """Return the four 32-bit words of each block.

    Args:
        seed: int64, one element; its low and high halves are the key.
        counter: int64 [...], block indices: words 0 and 1 of the Philox counter.
        offset: int64 scalar or tensor broadcastable to ``counter``: words 2 and 3. Give each draw
            under one seed (a step, a level) its own offset.
        rounds: 10; or 7, the fewest with which the paper finds no failure in BigCrush.

    Returns:
        Four int64 tensors shaped like ``counter`` with values in [0, 2**32).

    Raises:
        ValueError: ``seed`` is not one int64 element, or ``counter`` is not int64.
    """
    if seed.dtype != torch.int64 or seed.numel() != 1:
        raise ValueError(
            f"seed must be an int64 tensor of one element, got {seed.dtype} {tuple(seed.shape)}"
        )
    if counter.dtype != torch.int64:
        raise ValueError(f"counter must be int64, got {counter.dtype}")
    return _encrypt(seed.reshape(()).to(counter.device), counter, offset, rounds)


def _encrypt(seed: Tensor, counter: Tensor, offset: Tensor | int, rounds: int) -> Words:
    """``philox4x32`` with a seed that broadcasts to ``counter`` like ``offset``."""
    key0, key1 = seed & MASK, (seed >> 32) & MASK
    c0, c1 = counter & MASK, (counter >> 32) & MASK
    if isinstance(offset, Tensor):
        offset = offset.to(device=counter.device, dtype=torch.int64)
        c2 = (offset & MASK).expand_as(counter)
        c3 = ((offset >> 32) & MASK).expand_as(counter)
    else:
        c2 = torch.full_like(counter, offset & MASK)
        c3 = torch.full_like(counter, (offset >> 32) & MASK)
    for _ in range(rounds):
        # int64 products wrap modulo 2**64: bits 0..63 are those of the unsigned product.
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product1 >> 32) & MASK) ^ c1 ^ key0,
            product1 & MASK,
            ((product0 >> 32) & MASK) ^ c3 ^ key1,
            product0 & MASK,
        )
        key0, key1 = (key0 + WEYL[0]) & MASK, (key1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def word_to_uniform(word: Tensor) -> Tensor:
    """Map words in [0, 2**32) to float32 in [0, 1), as ``triton.language.uint_to_uniform_float``."""
    folded = torch.where(word > 0x7FFFFFFF, MASK - word, word)
    return folded.to(torch.float32) * UNIFORM_SCALE


def pair_to_normal(u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor]:
    """Box-Muller: two independent uniforms in [0, 1) to two independent standard normals."""
    radius = torch.sqrt(-2.0 * torch.log(u1.clamp_min(UNIFORM_FLOOR)))
    angle = (2.0 * math.pi) * u2
    return radius * torch.cos(angle), radius * torch.sin(angle)


def _blocks(
    seed: Tensor, count: int, offset: Tensor | int, device: torch.device, rounds: int
) -> Words:
    return philox4x32(seed, torch.arange((count + 3) // 4, device=device), offset, rounds)


def uniform(
    seed: Tensor,
    shape: Sequence[int],
    offset: Tensor | int = 0,
    device: torch.device | str | None = None,
    rounds: int = ROUNDS,
) -> Tensor:
    """Return float32 uniforms in [0, 1): element i of the flattened result is word i % 4 of block i // 4.

    Args:
        seed: int64, one element.
        shape: shape of the result.
        offset: stream under this seed, see ``philox4x32``.
        device: where to compute; the seed's device when None.
        rounds: of Philox, see ``philox4x32``.
    """
    count = math.prod(shape)
    words = _blocks(seed, count, offset, torch.device(device or seed.device), rounds)
    return word_to_uniform(torch.stack(words, dim=-1)).reshape(-1)[:count].reshape(tuple(shape))


def normal(
    seed: Tensor,
    shape: Sequence[int],
    offset: Tensor | int = 0,
    device: torch.device | str | None = None,
    rounds: int = ROUNDS,
) -> Tensor:
    """Return float32 standard normals: element i of the flattened result is lane i % 4 of block i // 4.

    Args:
        seed: int64, one element.
        shape: shape of the result.
        offset: stream under this seed, see ``philox4x32``.
        device: where to compute; the seed's device when None.
        rounds: of Philox, see ``philox4x32``.

    Example:
        >>> normal(torch.tensor([7]), (2, 3)).shape
        torch.Size([2, 3])
    """
    count = math.prod(shape)
    words = _blocks(seed, count, offset, torch.device(device or seed.device), rounds)
    u0, u1, u2, u3 = (word_to_uniform(word) for word in words)
    lanes = (*pair_to_normal(u0, u1), *pair_to_normal(u2, u3))
    return torch.stack(lanes, dim=-1).reshape(-1)[:count].reshape(tuple(shape))


def uniform_rows(seed: Tensor, offset: Tensor, first: int, count: int) -> Tensor:
    """Return one stream a row: row i holds elements ``first``, ... of ``uniform(seed[i], ..., offset[i])``.

    Args:
        seed: int64, one element for all rows or one a row, shape [1] or [N].
        offset: stream of each row, int64 [N].
        first: element of the streams where the result begins.
        count: elements of each row.

    Returns:
        float32 [N, count], in [0, 1).

    Raises:
        ValueError: ``seed`` is not int64 or fits neither one row nor all.
    """
    if seed.dtype != torch.int64 or seed.numel() not in (1, len(offset)):
        raise ValueError(
            f"seed must be int64 with one element or one for each of {len(offset)} rows, "
            f"got {seed.dtype} {tuple(seed.shape)}"
        )
    blocks = torch.arange(first // 4, (first + count + 3) // 4, device=offset.device)
    counter = blocks.expand(len(offset), -1)
    key = seed.reshape(-1, 1).to(offset.device)
    words = torch.stack(_encrypt(key, counter, offset[:, None], ROUNDS), dim=-1).flatten(1)
    return word_to_uniform(words[:, first % 4 : first % 4 + count])
