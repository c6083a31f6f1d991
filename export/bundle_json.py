"""JSON values of a bundle, checked one by one: every refusal names file, field and value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from seqvae.errors import UserError

T = TypeVar("T")

MAX_FILES = 1000
"""Most entries of a table in `seqvae.json`, and most files of a bundle."""


class Reader:
    """Takes values of one kind only.

    Args:
        path: of the file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, name: str, value: object, wanted: str) -> NoReturn:
        """Say what is wrong.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.path}: {name} is {repr(value)[:80]}: {wanted}")

    def each(self, name: str, value: object, make: Callable[[str, str, object], T]) -> dict[str, T]:
        """An object of bounded size, its values made by `make(where, key, value)`."""
        values = self.mapping(name, value)
        if len(values) > MAX_FILES:
            self.refuse(name, len(values), f"more than {MAX_FILES} entries")
        result: dict[str, T] = {}
        for key, item in values.items():
            result[key] = make(f"{name}[{key[:80]!r}]", key, item)
        return result

    def mapping(self, name: str, value: object) -> dict[str, Any]:
        """An object."""
        if not isinstance(value, dict):
            self.refuse(name, value, "must be an object")
        return value

    def text(self, name: str, value: object) -> str:
        """A string of at most 1000 characters."""
        if not isinstance(value, str) or len(value) > 1000:
            self.refuse(name, value, "must be a short string")
        return value

    def texts(self, name: str, value: object) -> tuple[str, ...]:
        """A list of such strings."""
        if not isinstance(value, list) or len(value) > 1_000_000:
            self.refuse(name, value, "must be a list of strings")
        return tuple(self.text(name, item) for item in value)

    def integer(self, name: str, value: object, low: int, high: int) -> int:
        """A whole number within bounds."""
        if type(value) is not int or not low <= value <= high:
            self.refuse(name, value, f"must be a whole number from {low} to {high}")
        return value

    def number(self, name: str, value: object, low: float, high: float) -> float:
        """A number within bounds."""
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            self.refuse(name, value, f"must be a number from {low:g} to {high:g}")
        return value  # type: ignore[return-value]

    def flag(self, name: str, value: object) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            self.refuse(name, value, "must be true or false")
        return value

    def one_of(self, name: str, value: object, known: tuple[str, ...]) -> str:
        """One of some strings."""
        if value not in known or not isinstance(value, str):
            self.refuse(name, value, f"this seqvae knows {', '.join(known)}")
        return value
