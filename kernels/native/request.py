"""Call the Gaussian kernels with addresses: the entry without numpy, for callers that have pointers.

A call costs 2 us: the request is one packed structure, because ctypes takes 0.1 us for each argument. The library
reads and writes the given addresses and checks none of them: the arrays must stay alive, be float32 (the mask: one
byte a row) and as large as the sizes say. It releases the interpreter lock while it works.
"""

import functools
import math
import struct
from collections.abc import Callable
from typing import Literal, get_args

from seqvae.errors import UserError
from seqvae.kernels.native.loader import library

Instructions = Literal["best", "baseline", "avx2", "avx512"]

# struct SeqvaeGaussian in seqvae_native.h: 10 integers, 13 addresses, 4 floats, 4 small integers.
_LAYOUT = struct.Struct("@10q13P4f4i")
_OUT_OF_MEMORY, _OTHER_VERSION = -2, -3
_NUMBERS = {name: number for number, name in enumerate(get_args(Instructions))}


def instruction_sets() -> tuple[Instructions, ...]:
    """The vector widths that this processor and this build have, narrowest first; all give the same bits."""
    has = library().seqvae_has_instructions
    return tuple(name for name in get_args(Instructions)[1:] if has(_NUMBERS[name]))


def forward(
    mean: int,
    log_variance: int,
    *,
    rows: int,
    dim: int,
    mean_stride: int,
    log_variance_stride: int,
    seed: int = 0,
    offset: int = 0,
    samples: int = 1,
    noise_scale: float = 1.0,
    mask: int = 0,
    low: float = -math.inf,
    high: float = math.inf,
    free_bits: float = -math.inf,
    rounds: int = 10,
    threads: int = 1,
    instructions: Instructions = "best",
    z: int = 0,
    kl: int = 0,
    kl_rows: int = 0,
    kl_dimensions: int = 0,
) -> None:
    """Write the outputs whose address is not 0.

    Args:
        mean: address of [N, D].
        log_variance: address of [N, D].
        rows: N.
        dim: D.
        mean_stride: elements between two rows of ``mean``.
        log_variance_stride: elements between two rows of ``log_variance``.
        seed: the 64-bit key, signed.
        offset: stream under this seed, signed 64 bit.
        samples: S.
        noise_scale: multiplies the standard deviation of z.
        mask: address of N bytes, 0 where a row does not count; 0 if all do.
        low: the log-variance is clamped from below, minus infinity: not at all.
        high: the log-variance is clamped from above, infinity: not at all.
        free_bits: ``kl_rows`` is clamped from below, minus infinity: not at all.
        rounds: of Philox, 10 or 7.
        threads: at most this many.
        instructions: vector width, for tests.
        z: address of [S, N, D].
        kl: address of [N, D].
        kl_rows: address of [N].
        kl_dimensions: address of [D].

    Raises:
        UserError: the library was not built, or is another version's.
        ValueError: sizes, ``rounds`` or ``instructions`` do not fit.
    """
    _call(
        _functions()[0],
        *(rows, dim, samples, mean_stride, log_variance_stride, 0, 0, seed, offset),
        *(mean, log_variance, mask, z, kl, kl_rows, kl_dimensions, 0, 0, 0, 0, 0, 0),
        *(noise_scale, low, high, free_bits, rounds, threads, _NUMBERS[instructions], 0),
    )


def backward(
    mean: int,
    log_variance: int,
    d_mean: int,
    d_log_variance: int,
    *,
    rows: int,
    dim: int,
    mean_stride: int,
    log_variance_stride: int,
    d_mean_stride: int,
    d_log_variance_stride: int,
    seed: int = 0,
    offset: int = 0,
    samples: int = 1,
    noise_scale: float = 1.0,
    mask: int = 0,
    low: float = -math.inf,
    high: float = math.inf,
    rounds: int = 10,
    threads: int = 1,
    instructions: Instructions = "best",
    d_z: int = 0,
    d_kl: int = 0,
    d_kl_rows: int = 0,
    d_kl_dimensions: int = 0,
) -> None:
    """Write the gradients of ``forward``; the arguments they share are as there.

    Args:
        mean: address of [N, D].
        log_variance: address of [N, D].
        d_mean: address of [N, D], where to write.
        d_log_variance: address of [N, D], where to write.
        rows: N.
        dim: D.
        mean_stride: as in ``forward``.
        log_variance_stride: as in ``forward``.
        d_mean_stride: elements between two rows of ``d_mean``.
        d_log_variance_stride: elements between two rows of ``d_log_variance``.
        seed: as in ``forward``.
        offset: as in ``forward``.
        samples: S, as in ``forward``.
        noise_scale: as in ``forward``.
        mask: as in ``forward``.
        low: as in ``forward``.
        high: as in ``forward``.
        rounds: as in ``forward``.
        threads: at most this many.
        instructions: vector width, for tests.
        d_z: address of [S, N, D]; 0 for no gradient, as below.
        d_kl: address of [N, D].
        d_kl_rows: address of [N]; not gated by free bits, the caller does that.
        d_kl_dimensions: address of [D].

    Raises:
        UserError: the library was not built, or is another version's.
        ValueError: sizes, ``rounds`` or ``instructions`` do not fit.
    """
    _call(
        _functions()[1],
        *(rows, dim, samples, mean_stride, log_variance_stride),
        *(d_mean_stride, d_log_variance_stride, seed, offset),
        *(mean, log_variance, mask, 0, 0, 0, 0),
        *(d_z, d_kl, d_kl_rows, d_kl_dimensions, d_mean, d_log_variance),
        *(noise_scale, low, high, -math.inf, rounds, threads, _NUMBERS[instructions], 0),
    )


def philox(
    words: int,
    blocks: int,
    *,
    seed: int,
    offset: int = 0,
    first: int = 0,
    rounds: int = 10,
    instructions: Instructions = "best",
) -> None:
    """Write the words behind the noise: element i is made of words of block i // 4.

    Args:
        words: address of uint32 [blocks, 4].
        blocks: how many.
        seed: the 64-bit key, signed.
        offset: stream under this seed, signed 64 bit.
        first: index of the first block.
        rounds: 10 or 7.
        instructions: vector width, for tests.

    Raises:
        UserError: the library was not built.
        ValueError: ``blocks``, ``rounds`` or ``instructions`` do not fit.
    """
    fields = seed, offset, first, blocks, rounds, _NUMBERS[instructions]
    _check(library().seqvae_philox(*fields, words), fields)


@functools.cache
def _functions() -> tuple[Callable[[bytes], int], Callable[[bytes], int]]:
    opened = library()
    return opened.seqvae_gaussian_forward, opened.seqvae_gaussian_backward


def _call(function: Callable[[bytes], int], *fields: float) -> None:
    _check(function(_LAYOUT.pack(_LAYOUT.size, *fields)), fields)


def _check(status: int, fields: tuple[float, ...]) -> None:
    if not status:
        return
    if status == _OTHER_VERSION:
        raise UserError("the native library is another version's; rebuild it with `make setup`")
    if status == _OUT_OF_MEMORY:
        raise MemoryError("no memory for partial sums")
    raise ValueError(f"the native library refused the request {fields}")
