"""Columns of a table to records: which columns hold text, which a label, what stays together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from seqvae.data.attributes import finite, split_column
from seqvae.data.lines import SkipReport
from seqvae.errors import UserError

# Between the texts of one row when they are hashed together; never part of a text.
_BETWEEN = "\n"


@dataclass(frozen=True)
class Records:
    """A block of records, field by field.

    Attributes:
        texts: one a record.
        targets: the other side of pairs, or None.
        labels: label names, or None.
        groups: what must stay in one split, or None where that is the text itself.
        attributes: for each attribute its values, one a record: names, or numbers.
    """

    texts: list[str]
    targets: list[str] | None = None
    labels: list[str] | None = None
    groups: list[str] | None = None
    attributes: tuple[list[Any], ...] = ()


@dataclass(frozen=True)
class Columns:
    """Which columns to read.

    Attributes:
        text: names of the text columns; none: the column called `default`, or the only one.
        label: name of the label column.
        explode: every text column is a record of its own, in the same split as the rest of its row.
        header: the first row of .csv and .tsv has the names; otherwise columns are called 1, 2, ...
        default: name of the text column if none is given.
        attributes: further columns, those of numbers with `:number` behind their names.
    """

    text: tuple[str, ...] = ()
    label: str | None = None
    explode: bool = False
    header: bool = True
    default: str = "text"
    attributes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        told = self.told
        if repeated := [name for i, name in enumerate(told) if name in told[:i]]:
            raise UserError(
                f"--attributes {repeated[0]}: the column is named twice (or is the label)"
            )
        if len(self.text) > 2 and not self.explode:
            raise UserError(
                f"columns: {len(self.text)} text columns ({', '.join(self.text)}); "
                "one makes sentences, two make pairs, more need --explode"
            )

    @property
    def pairs(self) -> bool:
        """Whether records have two sides."""
        return len(self.text) == 2 and not self.explode

    @property
    def wanted(self) -> bool:
        """Whether the user named a column, which plain text has not."""
        return bool(self.text or self.told)

    @property
    def told(self) -> list[str]:
        """Columns of what is known of each text: the label, where there is one, and the attributes."""
        label = [self.label] if self.label else []
        return [*label, *(split_column(column)[0] for column in self.attributes)]

    def locate(self, available: Sequence[str], source: str) -> list[str]:
        """Return the columns to read: those of the text, then `told`.

        Args:
            available: the columns there are.
            source: name for messages.

        Raises:
            UserError: a column is missing, or it is not clear which one to take.
        """
        text = self.text
        if not text:
            rest = [name for name in available if name not in self.told]
            if self.default in rest:
                text = (self.default,)
            elif len(rest) == 1:
                text = (rest[0],)
            else:
                raise UserError(
                    f"{source}: which column is the text? There are {_listed(available)}; "
                    "name it with --columns (or --field)"
                )
        chosen = [*text, *self.told]
        missing = [name for name in chosen if name not in available]
        if missing:
            hint = "" if self.header else "; without a header columns are numbered from 1"
            raise UserError(
                f"{source}: no column {_listed(missing)}; there are {_listed(available)}{hint}"
            )
        return chosen

    def build(
        self,
        rows: Iterable[tuple[int, Sequence[object]]],
        source: str,
        report: SkipReport,
        max_line_bytes: int,
    ) -> Records:
        """Turn rows into records; unusable ones go to the report.

        Args:
            rows: row numbers, from 1, and the values of the located columns.
            source: name for the report.
            report: gets rows without text, label or attribute.
            max_line_bytes: longer texts are left out.
        """
        texts: list[str] = []
        targets: list[str] = []
        groups: list[str] = []
        kinds = [("label", False)] if self.label else []
        kinds += [split_column(column) for column in self.attributes]
        told: list[list[Any]] = [[] for _ in kinds]
        for number, values in rows:
            first = len(values) - len(kinds)
            known = [
                finite(value) if is_number else _name(value)
                for value, (_, is_number) in zip(values[first:], kinds, strict=True)
            ]
            if None in known:
                missing, is_number = kinds[known.index(None)]
                what = f"number in column {missing!r}" if is_number else missing
                report.add(source, number, f"no {what}")
                continue
            fields: list[str] = []
            for value in values[:first]:
                field = _clean(value, max_line_bytes)
                if isinstance(field, _Problem):
                    report.add(source, number, field.reason)
                elif field or not self.explode:
                    fields.append(field)
            if len(fields) < first and not self.explode:
                continue
            texts += fields if self.explode else fields[:1]
            targets += fields[1:] if self.pairs else []
            copies = len(fields) if self.explode else 1
            for column, value in zip(told, known, strict=True):
                column += [value] * copies
            groups += [_BETWEEN.join(fields)] * (len(fields) if self.explode else 0)
        return Records(
            texts,
            targets if self.pairs else None,
            told[0] if self.label else None,
            groups if self.explode else None,
            tuple(told[bool(self.label) :]),
        )


def _name(value: object) -> str | None:
    return None if value is None else str(value).strip() or None


@dataclass(frozen=True)
class _Problem:
    reason: str


def _clean(value: object, max_line_bytes: int) -> str | _Problem:
    if value is None:
        return _Problem("no text")
    if not isinstance(value, str):
        return _Problem("not text")
    if len(value) > max_line_bytes:
        return _Problem("line too long")
    if "\0" in value:
        return _Problem("NUL byte")
    try:
        value.encode()
    except UnicodeEncodeError:
        return _Problem("invalid Unicode")
    if "\n" in value or "\r" in value:
        return value.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
    return value


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
