"""Does this machine give the answers that the bundle was exported with?"""

from collections.abc import Mapping
from typing import Any, Protocol

from seqvae.data.text import EOS
from seqvae.errors import UserError
from seqvae.serving.core import Core
from seqvae.serving.options import Options, Row
from seqvae.serving.results import Written

LOG_PROB_ERROR = 1e-3
"""Relative error allowed in the log-probability of the same tokens."""
EQUAL_SHARE = 0.75
"""Share of the rows that must be equal where the arithmetic is not that of the export: a GPU, half
precision, or integers on another processor, all of which may decide near ties the other way."""


class GoldenRow(Protocol):
    """An input with the outputs that each variant gave; `seqvae.export.bundle.GoldenRow`."""

    @property
    def name(self) -> str:
        """What it stands for."""

    @property
    def text(self) -> str:
        """The input."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Of the row; those left out have their defaults."""

    @property
    def written(self) -> Mapping[str, Any]:
        """The output of each variant."""


def check_golden(core: Core, rows: list[Any], variant: str, *, exact: bool) -> None:
    """Compare with the golden rows of a bundle.

    Args:
        core: the open model.
        rows: `GoldenRow`s.
        variant: whose outputs to compare with.
        exact: whether all rows must be equal, rather than `EQUAL_SHARE` of them.

    Raises:
        UserError: too many differ; names the first that does.
    """
    known: list[GoldenRow] = [row for row in rows if variant in row.written]
    # Golden rows hold texts longer than the model reads, too.
    cropping = Core(core.facts, core.graphs, core.texts, crop=True)
    found = cropping.generate([Row(row.text, Options(**row.options)) for row in known])
    differ = [
        (row, one)
        for row, one in zip(known, found, strict=True)
        if not _equal(row.written[variant], one)
    ]
    allowed = 0 if exact else int((1 - EQUAL_SHARE) * len(known))
    if len(differ) > allowed:
        row, one = differ[0]
        raise UserError(
            f"golden check: {len(differ)} of {len(known)} rows of variant {variant} differ from "
            f"those at export; the first, {row.name!r} ({row.text[:40]!r}, {dict(row.options)}): "
            f"got {one.text[:60]!r} ({one.log_prob:.4f} nats), expected "
            f"{row.written[variant].text[:60]!r} ({row.written[variant].log_prob:.4f} nats); "
            "export the bundle again with this version of onnxruntime, or choose another variant"
        )


def _equal(wanted: Any, found: Written) -> bool:  # noqa: ANN401 (the bundle's own `Written`)
    ids = [i for i in wanted.ids if i != EOS]
    error = abs(wanted.log_prob - found.log_prob)
    return (ids, wanted.text, wanted.complete) == (
        found.ids,
        found.text,
        found.complete,
    ) and error <= LOG_PROB_ERROR * max(1.0, abs(wanted.log_prob))
