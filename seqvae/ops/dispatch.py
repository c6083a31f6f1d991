"""Which implementation runs, and why.

Every operation has up to five: ``reference`` (torch, the truth), ``native`` (C++ on the CPU), ``triton`` (compiled when
first used), ``aot`` (the same Triton source compiled beforehand, launched without the compiler), ``sdpa``
(torch's attention). The choice is made when the operation runs, so that a compiled or exported program chooses too.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from seqvae.errors import UserError

Path = Literal["reference", "native", "triton", "aot", "sdpa"]
VARIABLE = "SEQVAE_KERNELS"


@dataclass(frozen=True)
class Choice:
    """What an operation ran.

    Attributes:
        op: the operation.
        path: the implementation that ran last.
        reason: why this one.
    """

    op: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.op}: {self.path} ({self.reason})"


_last: dict[str, Choice] = {}
# Not a ContextVar: backward passes of GPU tensors run in threads of their own.
_asked: list[Path] = []


def record(op: str, path: Path, reason: str) -> None:
    """Remember what ran; an operation calls this once per call."""
    last = _last.get(op)
    if last is None or last.path != path or last.reason != reason:
        _last[op] = Choice(op, path, reason)


def explain() -> tuple[Choice, ...]:
    """What each operation ran the last time it was called in this process, and why.

    Example:
        >>> for choice in explain():  # doctest: +SKIP
        ...     print(choice)
        gaussian_latent: native (CPU, float32)
    """
    return tuple(_last[op] for op in sorted(_last))


def forced() -> Path | None:
    """The path that ``use`` or the environment variable SEQVAE_KERNELS asks for, or None.

    Raises:
        UserError: SEQVAE_KERNELS names no path.
    """
    if _asked:
        return _asked[-1]
    name = os.environ.get(VARIABLE, "auto")
    if name == "auto":
        return None
    if name not in get_args(Path):
        raise UserError(f"{VARIABLE}={name!r}: expected auto, {', '.join(get_args(Path))}")
    return cast(Path, name)


@contextlib.contextmanager
def use(path: Path) -> Iterator[None]:
    """Ask for one path inside a ``with`` block.

    An operation that has no such path for its arguments takes its reference and says so in ``explain``.

    Args:
        path: which implementation.
    """
    _asked.append(path)
    try:
        yield
    finally:
        _asked.pop()
