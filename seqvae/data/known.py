"""What is known of each text, from the columns that were read to what a corpus says of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seqvae.data.attributes import (
    Attribute,
    FloatArray,
    ValueNames,
    measured,
    split_column,
)
from seqvae.data.records import Records
from seqvae.data.split import DROPPED, TRAIN
from seqvae.data.spool import ByteArray, Spool
from seqvae.data.storage import IntArray
from seqvae.errors import UserError


class KnownColumns:
    """The label and the attributes of a run of `prepare`.

    Args:
        label: name of the label's column, or None.
        attributes: columns as the user wrote them.
    """

    def __init__(self, label: str | None, attributes: Sequence[str]) -> None:
        self._columns = [split_column(column) for column in attributes]
        self._label = ValueNames(label or "")
        self._attributes = [None if n else ValueNames(name) for name, n in self._columns]

    @property
    def are_numbers(self) -> list[bool]:
        """Of each attribute, whether it is a column of numbers."""
        return [is_number for _, is_number in self._columns]

    def numbers(self, records: Records) -> tuple[IntArray | None, FloatArray | None]:
        """The labels [N] and the attributes [N, A] of a block of records.

        Raises:
            UserError: a column has too many different names.
        """
        labels = None if records.labels is None else self._label.numbers(records.labels)
        if not self._columns:
            return labels, None
        columns = [
            values if names is None else names.numbers(values)
            for names, values in zip(self._attributes, records.attributes, strict=True)
        ]
        return labels, np.asarray(columns, np.float32).T

    def names(self) -> dict[str, Any]:
        """Names that were read, as JSON values: of the labels, and of each attribute (None: numbers)."""
        return {
            "labels": self._label.names(),
            "attributes": [None if names is None else names.names() for names in self._attributes],
        }

    def settle(
        self,
        read: dict[str, Any],
        spool: Spool,
        roles: ByteArray,
        dropped: Counter[str],
        where: Callable[[int], str],
        *,
        skip_unseen: bool,
    ) -> dict[str, Any]:
        """What the training split knows, once the splits are made.

        Args:
            read: `names`, from when the records were read.
            spool: the records.
            roles: their splits; records with an unknown name are dropped.
            dropped: gets their counts.
            where: the file of a record.
            skip_unseen: whether a held-out record may have a name that training lacks.

        Returns:
            JSON values: the names of the labels, and the attributes.

        Raises:
            UserError: a held-out record has such a name.
        """
        columns = [("label", read["labels"])] if spool.labels is not None else []
        columns += [
            (name, names)
            for (name, _), names in zip(self._columns, read["attributes"], strict=True)
            if names is not None
        ]
        settled: list[list[str]] = []
        for (column, names), numbers in zip(columns, spool.named(), strict=True):
            known = np.bincount(numbers[roles == TRAIN], minlength=len(names)) > 0
            unseen = ~known[numbers] & (roles > TRAIN)
            if unseen.any() and not skip_unseen:
                first = int(np.argmax(unseen))
                raise UserError(
                    f"{where(first)}: {column} {names[numbers[first]]!r} does not occur in the training data "
                    f"({int(unseen.sum()):,} such lines in all); add examples or pass --unseen-labels skip"
                )
            dropped[f"{column} unseen in training"] += int(unseen.sum())
            roles[unseen] = DROPPED
            settled.append(
                sorted(name for name, is_known in zip(names, known, strict=True) if is_known)
            )
        labels = settled.pop(0) if spool.labels is not None else []
        return {"labels": labels, "attributes": self._described(spool, roles, settled)}

    def _described(
        self, spool: Spool, roles: ByteArray, settled: list[list[str]]
    ) -> list[dict[str, Any]]:
        found = []
        for place, (name, is_number) in enumerate(self._columns):
            assert spool.attributes is not None
            if is_number:
                one = measured(name, spool.attributes[roles == TRAIN, place])
            else:
                one = Attribute(name, tuple(settled.pop(0)))
            found.append(one.to_json())
        return found


class Renumbered:
    """Labels and attributes of a spool with the numbers that a corpus has for their names.

    Args:
        spool: the records.
        read: names by their number in the spool; see `KnownColumns.names`.
        settled: what the corpus knows; see `KnownColumns.settle`.
    """

    def __init__(self, spool: Spool, read: dict[str, Any], settled: dict[str, Any]) -> None:
        self._spool = spool
        self._labels = _moved(read["labels"], settled["labels"])
        self._attributes = [
            None if names is None else _moved(names, one["values"])
            for names, one in zip(read["attributes"], settled["attributes"], strict=True)
        ]

    def of(self, records: np.ndarray[Any, Any]) -> tuple[IntArray | None, FloatArray | None]:
        """The labels [N] and the attributes [N, A] of some records."""
        spool = self._spool
        labels = None if spool.labels is None else self._labels[spool.labels[records]]
        if spool.attributes is None:
            return labels, None
        attributes = np.array(spool.attributes[records])
        for place, moved in enumerate(self._attributes):
            if moved is not None:
                attributes[:, place] = moved[attributes[:, place].astype(np.int32)]
        return labels, attributes


def _moved(read: Sequence[str], settled: Sequence[str]) -> IntArray:
    final = {name: i for i, name in enumerate(settled)}
    return np.array([final.get(name, -1) for name in read], np.int32)
