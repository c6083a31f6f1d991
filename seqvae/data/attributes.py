"""What else is known of each text beside its label: further labels, and numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seqvae.errors import UserError

FloatArray = np.ndarray[Any, np.dtype[np.float32]]

NUMBER = ":number"
"""Behind a column's name on the command line: it holds numbers."""
MOST_VALUES = 65_536
_LISTED = 20


@dataclass(frozen=True)
class Attribute:
    """A column beside the label, as a model is told of it.

    Attributes:
        name: of the column.
        values: of a column of names, those of the training split: a text's value is stored as its place
            here. Empty: a column of numbers.
        mean: of the numbers of the training split.
        deviation: their standard deviation, 1 where they are all the same.
        least: of these numbers.
        greatest: of these numbers.
    """

    name: str
    values: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    least: float = 0.0
    greatest: float = 0.0

    @property
    def is_number(self) -> bool:
        """Whether values are numbers, not names."""
        return not self.values

    def read(self, text: str) -> float:
        """How a value that somebody wrote is stored.

        Raises:
            UserError: no finite number, or no value of the training split.
        """
        if not self.is_number:
            try:
                return float(self.values.index(text))
            except ValueError:
                known = ", ".join(map(repr, self.values[:_LISTED]))
                raise UserError(f"{self.name}={text}: the model knows {known}") from None
        value = finite(text)
        if value is None:
            raise UserError(f"{self.name}={text}: {self.name} is a number")
        return value

    def described(self) -> str:
        """What can be said, in words."""
        if self.is_number:
            return f"{self.name}=NUMBER ({self.least:g} to {self.greatest:g} in training)"
        listed = "|".join(self.values[:_LISTED]) + ("|..." if len(self.values) > _LISTED else "")
        return f"{self.name}={listed}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any], where: str) -> "Attribute":
        """The inverse of `to_json`.

        Raises:
            UserError: `data` is no attribute.
        """
        try:
            numbers = {
                name: float(data[name]) for name in ("mean", "deviation", "least", "greatest")
            }
            found = Attribute(
                str(data["name"]), tuple(str(value) for value in data["values"]), **numbers
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{where}: an attribute is damaged ({error!r})") from None
        if not all(map(math.isfinite, numbers.values())) or found.deviation <= 0:
            raise UserError(f"{where}: attribute {found.name!r} is damaged ({numbers})")
        return found


def attributes_of(facts: Mapping[str, Any], where: str) -> tuple[Attribute, ...]:
    """The attributes in a JSON object; none in one that was written before there were any.

    Raises:
        UserError: they are damaged.
    """
    found = facts.get("attributes", [])
    if not isinstance(found, list):
        raise UserError(f"{where}: attributes is {found!r:.80}, not a list")
    return tuple(Attribute.from_json(each, where) for each in found)


def finite(value: object) -> float | None:
    """A finite number, or None where `value` is none."""
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    # Stored as float32: what overflows there is no number either.
    return number if math.isfinite(number) and abs(number) < 3e38 else None


def split_column(wanted: str) -> tuple[str, bool]:
    """A column's name as the user wrote it, and whether it holds numbers."""
    return wanted.removesuffix(NUMBER), wanted.endswith(NUMBER)


def measured(name: str, numbers: FloatArray) -> Attribute:
    """A column of numbers, by those of the training split [N], at least one."""
    wide = numbers.astype(np.float64)
    deviation = float(wide.std())
    return Attribute(
        name,
        mean=float(wide.mean()),
        deviation=deviation if deviation > 0 else 1.0,
        least=float(wide.min()),
        greatest=float(wide.max()),
    )


class ValueNames:
    """Numbers for the names in a column, in the order in which they come.

    Args:
        name: of the column.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: dict[str, int] = {}

    def numbers(self, values: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int32]]:
        """A number for each of the values, [N].

        Raises:
            UserError: there are too many different ones.
        """
        for value in values:
            self._numbers.setdefault(value, len(self._numbers))
        if len(self._numbers) > MOST_VALUES:
            raise UserError(
                f"label column {self._name!r}: more than {MOST_VALUES:,} different labels; is it a text column?"
            )
        return np.array([self._numbers[value] for value in values], np.int32)

    def names(self) -> list[str]:
        """All names, by number."""
        return list(self._numbers)
