"""What may be asked for a text that is to be written, and how a batch of such wishes reaches a graph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from seqvae.errors import UserError
from seqvae.export.bundle_manifest import OPTIONS, Range

Array = np.ndarray[Any, np.dtype[Any]]


class Rule(NamedTuple):
    """What one option accepts.

    Attributes:
        dtype: of its tensor.
        low: least value.
        high: greatest value.
        wanted: the range in words.
    """

    dtype: type[np.generic]
    low: float
    high: float
    wanted: str


_DTYPES: dict[str, type[np.generic]] = {
    "int64": np.int64,
    "float32": np.float32,
    "bool": np.bool_,
}


def _rule(name: str, known: Range) -> Rule:
    dtype = _DTYPES[known.dtype]
    if dtype is np.bool_:
        return Rule(dtype, 0, 1, "true or false")
    high = float(np.finfo(np.float32).max) if known.high is None else known.high
    upto = "or more" if known.high is None else f"to {known.high:g}"
    if dtype is np.int64:
        upto = f"to {known.high}"
    wanted = f"above 0 {upto}" if name == "top_p" else f"{known.low} {upto}"
    return Rule(
        dtype, known.low, high, f"a whole number, {wanted}" if dtype is np.int64 else wanted
    )


RULES = {name: _rule(name, known) for name, known in OPTIONS.items()}
"""Each option of a row, in the order of `Options`."""


@dataclass(frozen=True)
class Options:
    """How one text is written. The same options give the same text in PyTorch and in every runtime.

    Raises:
        UserError: a value has the wrong type or is out of its range.
    """

    seed: int = 0
    """Fixes everything random."""
    sample: int = 0
    """Which of the texts under that seed."""
    noise_scale: float = 1.0
    """Factor on the posterior's deviation; 0 stays at its mean."""
    temperature: float = 0.0
    """0: always the most probable token; 1: as the model says; more: bolder."""
    top_k: int = 0
    """Draw from the k most probable tokens only; 0: from all."""
    top_p: float = 1.0
    """Draw from the fewest tokens that have this much probability together."""
    beam: bool = False
    """Search with the beam that the bundle was exported with; then nothing is drawn."""
    length_penalty: float = 0.6
    """Of the beam: alpha of Wu et al. 2016, arXiv 1609.08144; 0 favours short texts."""
    max_length: int = 256
    """Most tokens written, the end token counted; the model's own limit holds as well."""

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            # Frozen, yet numpy's scalars become Python's, so that equal options are equal and print alike.
            object.__setattr__(self, name, checked(name, getattr(self, name), rule))


def checked(name: str, value: object, rule: Rule) -> float | int | bool:
    """`value` as a plain bool, int or float.

    Raises:
        UserError: the type is wrong or the value out of range.
    """
    found: float | int | bool
    if rule.dtype is np.bool_:
        right = isinstance(value, bool | np.bool_)
        found = bool(value)
    elif rule.dtype is np.int64:
        right = isinstance(value, int | np.integer) and not isinstance(value, bool)
        found = int(value) if right else 0  # type: ignore[call-overload]
    else:
        right = isinstance(value, int | float | np.integer | np.floating)
        right = right and not isinstance(value, bool)
        try:
            found = float(value) if right else 0.0  # type: ignore[arg-type]
        except OverflowError:
            found = math.inf
    inside = rule.low <= found <= rule.high and not (name == "top_p" and found == 0)
    if not (right and inside):
        raise UserError(f"options: {name} is {value!r}; it must be {rule.wanted}")
    return found


@dataclass(frozen=True, eq=False)
class Row:
    """One text to be written.

    Attributes:
        text: what is said; an empty text too. Ignored by a language model, which reads nothing.
        options: how it is said again.
        noise: standard normal noise of z, shape [D], instead of that of the seed.
    """

    text: str
    options: Options = Options()
    noise: Array | None = None


def feeds_of(options: Sequence[Options], names: Sequence[str] | None = None) -> dict[str, Array]:
    """Tensors [B, 1] of every option, or of those in `names`."""
    wanted = [field.name for field in fields(Options) if names is None or field.name in names]
    return {
        name: np.array([[getattr(o, name)] for o in options], RULES[name].dtype).reshape(-1, 1)
        for name in wanted
    }
