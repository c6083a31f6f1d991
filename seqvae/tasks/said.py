"""What somebody says of texts to a conditional model: a label, and NAME=VALUE for each attribute, in any order."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.errors import UserError

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

Said = str | Sequence[str]
"""A label alone, or all that is said."""

_LABEL = ""
_MOST = 256
"""Kinds of texts that are tried where nobody says what texts are: each costs a pass of the model."""


@dataclass(frozen=True)
class Known:
    """What is said of a text, as its model stores it.

    Attributes:
        label: number of the label; None for a model that has none.
        attributes: those of the model, in its order.
        words: the same as it was said.
    """

    label: int | None
    attributes: tuple[float, ...]
    words: tuple[str, ...]

    def tensor(self) -> Tensor | None:
        """The attributes, [A]; None where there are none."""
        return torch.tensor(self.attributes) if self.attributes else None


def known(model: "TextModel", said: Said) -> Known:
    """All that a model must be told of a text.

    Raises:
        UserError: the model does not know it, is not conditional, or needs what was not said.
    """
    values = _values(model, said)
    if set(_names(model)) - set(values):
        raise UserError(
            f"this model is conditional: say which label (--label); it knows {choices(model)}"
        )
    return Known(
        model.labels.index(values[_LABEL]) if model.labels else None,
        tuple(one.read(values[one.name]) for one in model.attributes),
        _words(values),
    )


def choices(model: "TextModel") -> str:
    """What can be said of a text, in words."""
    labels = ", ".join(map(repr, model.labels[:20])) + (", ..." if len(model.labels) > 20 else "")
    return "; ".join([labels] * bool(labels) + [one.described() for one in model.attributes])


def instead(model: "TextModel", before: Said, said: Said) -> tuple[str, ...]:
    """What is known of a text of which all was said `before`, with what is `said` now in its place.

    Raises:
        UserError: see `known`.
    """
    return _words({**_values(model, before), **_values(model, said)})


def possible(model: "TextModel", said: Said = ()) -> list[tuple[str, ...]]:
    """Everything that texts may be of which no more is said; a number that nobody says is the training texts' mean.

    Raises:
        UserError: see `known`, or these are too many to try.
    """
    values = _values(model, said)
    columns: list[Sequence[str]] = [model.labels] if model.labels else []
    columns += [one.values or (f"{one.mean:.9g}",) for one in model.attributes]
    names = _names(model)
    open_ones = [
        (values[name],) if name in values else column
        for name, column in zip(names, columns, strict=True)
    ]
    found = list(itertools.islice(itertools.product(*open_ones), _MOST + 1))
    if len(found) > _MOST:
        raise UserError(
            f"more than {_MOST} kinds of texts are possible: say what these are (--from); the model knows {choices(model)}"
        )
    return [_words(dict(zip(names, each, strict=True))) for each in found]


def _names(model: "TextModel") -> list[str]:
    """What must be said: the label, where the model has labels, and the attributes by name."""
    return [*([_LABEL] if model.labels else []), *(one.name for one in model.attributes)]


def _values(model: "TextModel", said: Said) -> dict[str, str]:
    said = [said] if isinstance(said, str) else said
    if model.model.conditioning is None:
        raise UserError(
            f"label {' '.join(said)!r}: this model does not know labels; train with --model.conditional on a corpus "
            "prepared with --label COLUMN"
        )
    names = {one.name for one in model.attributes}
    values: dict[str, str] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if one in model.labels or not equals or name not in names:
            name, value = _LABEL, one
            if one not in model.labels:
                raise UserError(f"no label {one!r}; the model knows {choices(model)}")
        if name in values:
            raise UserError(f"{one}: {name or 'the label'} is said twice, {values[name]} before")
        values[name] = value
    return values


def _words(values: dict[str, str]) -> tuple[str, ...]:
    label = [values[_LABEL]] if _LABEL in values else []
    return (*label, *(f"{name}={value}" for name, value in values.items() if name != _LABEL))
