"""Columns of a table to records: which columns hold text, which a label, what stays together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    """

    texts: list[str]
    targets: list[str] | None = None
    labels: list[str] | None = None
    groups: list[str] | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns to read.

    Attributes:
        text: names of the text columns; none: the column called `default`, or the only one.
        label: name of the label column.
        explode: every text column is a record of its own, in the same split as the rest of its row.
        header: the first row of .csv and .tsv has the names; otherwise columns are called 1, 2, ...
        default: name of the text column if none is given.
    """

    text: tuple[str, ...] = ()
    label: str | None = None
    explode: bool = False
    header: bool = True
    default: str = "text"

    def __post_init__(self) -> None:
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
        return bool(self.text or self.label)

    def locate(self, available: Sequence[str], source: str) -> list[str]:
        """Return the columns to read, the label last.

        Args:
            available: the columns there are.
            source: name for messages.

        Raises:
            UserError: a column is missing, or it is not clear which one to take.
        """
        text = self.text
        if not text:
            rest = [name for name in available if name != self.label]
            if self.default in rest:
                text = (self.default,)
            elif len(rest) == 1:
                text = (rest[0],)
            else:
                raise UserError(
                    f"{source}: which column is the text? There are {_listed(available)}; "
                    "name it with --columns (or --field)"
                )
        chosen = [*text, *([self.label] if self.label else [])]
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
            report: gets rows without text or label.
            max_line_bytes: longer texts are left out.
        """
        texts: list[str] = []
        targets: list[str] = []
        labels: list[str] = []
        groups: list[str] = []
        for number, values in rows:
            label = ""
            if self.label:
                *values, last = values
                label = "" if last is None else str(last).strip()
                if not label:
                    report.add(source, number, "no label")
                    continue
            fields: list[str] = []
            for value in values:
                field = _clean(value, max_line_bytes)
                if isinstance(field, _Problem):
                    report.add(source, number, field.reason)
                elif field or not self.explode:
                    fields.append(field)
            if len(fields) < len(values) and not self.explode:
                continue
            texts += fields if self.explode else fields[:1]
            targets += fields[1:] if self.pairs else []
            labels += [label] * (len(fields) if self.explode else 1)
            groups += [_BETWEEN.join(fields)] * (len(fields) if self.explode else 0)
        return Records(
            texts,
            targets if self.pairs else None,
            labels if self.label else None,
            groups if self.explode else None,
        )


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
