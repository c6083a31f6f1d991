"""Long signals in pieces: windows that overlap, and how their results are joined without a seam.

A window's edges lack context, so of an overlap only the middle half is trusted: there one window
fades into the next, where the signal is quietest. Memory does not depend on how long the signal is.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from seqvae.errors import UserError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Chunking:
    """How a long sound is cut; one of at most `seconds` is computed whole.

    Raises:
        UserError: a value is out of its range.
    """

    seconds: float = 30.0
    """Longest window. What a network normalises over a window (instance norm) is what it would be
    over the whole sound only as far as the window is typical of it: longer is closer."""
    overlap: float = 1.5
    """Seconds that neighbours share: a quarter on each side is context only."""
    fade: float = 0.1
    """Seconds over which one window gives way to the next, inside the middle half of an overlap."""

    def __post_init__(self) -> None:
        if not 0 < 2 * self.fade <= self.overlap:
            raise UserError(
                f"chunks: fade is {self.fade:g} s; it must be above 0 and at most half the "
                f"overlap, {self.overlap / 2:g} s"
            )
        if not 2 * self.overlap <= self.seconds < math.inf:
            raise UserError(
                f"chunks: seconds is {self.seconds:g}; it must be at least twice the overlap, "
                f"{2 * self.overlap:g} s, and finite"
            )


def windows(total: int, longest: int, overlap: int) -> list[tuple[int, int]]:
    """Begin and end of the windows that cover `total` steps, neighbours sharing `overlap` steps.

    All are equally long (to one step), so that none has much poorer statistics than another.

    Args:
        total: steps, 1 or more.
        longest: most steps of a window, above `overlap`.
        overlap: steps shared by neighbours.

    Example:
        >>> windows(100, 40, 10)
        [(0, 40), (30, 70), (60, 100)]
    """
    if total <= longest:
        return [(0, total)]
    count = math.ceil((total - overlap) / (longest - overlap))
    edges = [(total - overlap) * i // count for i in range(count + 1)]
    return [(first, last + overlap) for first, last in itertools.pairwise(edges)]


def join(pieces: Iterable[Array], overlap: int, fade: int) -> Iterator[Array]:
    """The seamless signal, in pieces, from those of overlapping windows.

    Args:
        pieces: results of `windows` in their order, time on axis 0; each at least one and a
            half overlaps long where there are several.
        overlap: steps shared by neighbours.
        fade: steps of the cross-fade, at most half the overlap. It is linear: where two windows
            agree the result is what they agree on.
    """
    held: Array | None = None
    for piece in pieces:
        if held is not None:
            piece = np.concatenate([_faded(held, piece[:overlap], fade), piece[overlap:]])
        kept = max(len(piece) - overlap, 0)
        yield piece[:kept]
        held = piece[kept:]
    if held is not None:
        yield held


def _faded(old: Array, new: Array, fade: int) -> Array:
    """`old` going over into `new` (same shape) where both together are quietest."""
    length = len(old)
    energy = np.square(old).reshape(length, -1).sum(1, dtype=np.float64)
    energy += np.square(new).reshape(length, -1).sum(1, dtype=np.float64)
    running = np.concatenate([[0.0], np.cumsum(energy)])
    first, last = length // 4, max(length - length // 4 - fade, length // 4)
    begins = np.arange(first, last + 1)
    begin = int(begins[np.argmin(running[begins + fade] - running[begins])])
    rise = np.clip((np.arange(length, dtype=np.float32) + 0.5 - begin) / fade, 0.0, 1.0)
    rise = rise.reshape(length, *[1] * (old.ndim - 1))
    return np.asarray(old + rise * (new - old), dtype=old.dtype)
