"""Fields of JSON requests: one table from which requests are read and the API document is written."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seqvae.errors import UserError
from seqvae.serving.options import RULES, Options
from seqvae.serving.refusal import refuse, shown

Kind = Literal["string", "integer", "number", "boolean", "strings"]
_TYPES: dict[Kind, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "strings": (list,),
}
_FLOAT_MAX = 3.4e38


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Attributes:
        name: its key.
        kind: its JSON type; `strings`: a list of strings.
        about: what it means.
        default: value of a request that does not say; None: it must.
        low: least value, or least number of items.
        high: greatest value, most characters, or most items.
        above: whether `low` itself is too little.
    """

    name: str
    kind: Kind
    about: str
    default: Any = None
    low: float | None = None
    high: float | None = None
    above: bool = False

    def read(self, value: object) -> Any:  # noqa: ANN401 (of the field's kind)
        """`value` when it fits.

        Raises:
            Refusal: 400 another type, or out of range.
        """
        if self.kind == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number: 7.0 is an integer
        if not isinstance(value, _TYPES[self.kind]) or (
            isinstance(value, bool) and self.kind != "boolean"
        ):
            self._refuse(value)
        if isinstance(value, list):
            self._check_range(len(value), value)
            for number, item in enumerate(value):
                if not isinstance(item, str):
                    refuse(f"{self.name}: item {number} is {shown(item)}, not a string")
                check_text(f"{self.name}: item {number}", item)
        elif isinstance(value, str):
            check_text(self.name, value)
        elif not isinstance(value, bool):
            assert isinstance(value, int | float)
            self._check_range(value, value)
        return value

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        found: dict[str, Any] = {"description": self.about}
        low, high = ("minItems", "maxItems") if self.kind == "strings" else ("minimum", "maximum")
        if self.kind == "strings":
            found |= {"type": "array", "items": {"type": "string"}}
        else:
            found["type"] = self.kind
        if self.low is not None:
            found["exclusiveMinimum" if self.above else low] = self.low
        if self.high is not None:
            found["maxLength" if self.kind == "string" else high] = self.high
        if self.default is not None:
            found["default"] = self.default
        return found

    def _check_range(self, amount: float, value: object) -> None:
        low = -float("inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        # Written so that it also refuses what compares false with everything.
        if not low <= amount <= high or (self.above and amount == low):
            self._refuse(value)

    def _refuse(self, value: object) -> None:
        what = {"strings": "a list of strings", "integer": "an integer"}.get(
            self.kind, f"a {self.kind}"
        )
        ends = [
            f"{words} {bound if isinstance(bound, int) else f'{bound:g}'}"
            if bound < _FLOAT_MAX
            else ""
            for words, bound in (
                ("above" if self.above else "at least", self.low),
                ("at most", self.high),
            )
            if bound is not None
        ]
        size = " of " if self.kind == "strings" else ", "
        wanted = what + (size + " and ".join(filter(None, ends)) if any(ends) else "")
        refuse(f"{self.name} is {shown(value)}; it must be {wanted}")


def check_text(where: str, text: str) -> None:
    """Refuse text that has no UTF-8 form: JSON can escape half a character.

    Raises:
        Refusal: 400.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        refuse(f"{where} holds half of a surrogate pair at character {error.start}")


def check_length(where: str, text: str, limit: int) -> None:
    """Refuse text above the server's limit; the model has one of its own, in pieces.

    Raises:
        Refusal: 400.
    """
    if len(text) > limit:
        refuse(f"{where} has {len(text):,} characters; at most {limit:,}")


_ABOUT = {
    "seed": "Fixes everything random: the same seed gives the same text, alone or in a batch.",
    "sample": "Which of the texts under that seed.",
    "noise_scale": "Distance from the input: 0 reconstructs, 1 is the posterior's own width.",
    "temperature": "0: always the most probable token; 1: as the model says; more: bolder.",
    "top_k": "Draw from the k most probable tokens only; 0: from all.",
    "top_p": "Draw from the fewest tokens that have this much probability together.",
    "beam": "Search with the beam that the bundle was exported with; then nothing is drawn.",
    "length_penalty": "Of the beam; 0 favours short texts.",
    "max_length": "Most tokens written, the end token counted.",
}


def option_fields(defaults: Options, leave_out: Sequence[str] = ()) -> tuple[Field, ...]:
    """A field for each option of a row."""
    kinds: dict[str, Kind] = {"i": "integer", "f": "number", "b": "boolean"}
    found = []
    for name, rule in RULES.items():
        if name in leave_out:
            continue
        kind = kinds[np.dtype(rule.dtype).kind]
        bounds = (None, None) if kind == "boolean" else (rule.low, rule.high)
        default = getattr(defaults, name)
        low, high = bounds
        found.append(Field(name, kind, _ABOUT[name], default, low, high, name == "top_p"))
    return tuple(found)


def read_fields(
    body: Mapping[str, Any], fields: Sequence[Field], where: str = "the request"
) -> dict[str, Any]:
    """Every field's value, with the defaults of those left out.

    Raises:
        Refusal: 400 a field is unknown, missing, or does not fit.
    """
    known = {field.name: field for field in fields}
    for name in body:
        if name not in known:
            near = difflib.get_close_matches(name[:100], known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            refuse(f"{where} has no field {shown(name)}; {hint}")
    values = {}
    for field in fields:
        if field.name in body:
            values[field.name] = field.read(body[field.name])
        elif field.default is None:
            refuse(f"{where} needs the field {field.name!r}: {field.about}")
        else:
            values[field.name] = field.default
    return values


def read_options(values: Mapping[str, Any], **more: Any) -> Options:  # noqa: ANN401
    """The options among the values of a request.

    Args:
        values: of `read_fields`.
        more: options that the request names otherwise, or that it does not decide.

    Raises:
        Refusal: 400 a value that the bounds of a field cannot express.
    """
    try:
        return Options(**{name: values[name] for name in RULES if name in values} | more)
    except UserError as error:
        refuse(str(error))
