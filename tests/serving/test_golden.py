from dataclasses import replace

import pytest

from seqvae.errors import UserError
from seqvae.export.bundle import GoldenRow, Written
from seqvae.serving.engine import Engine
from seqvae.serving.golden import check_golden
from seqvae.serving.options import Options, Row

OPTIONS = {"temperature": 0.9, "seed": 3, "max_length": 8}
TEXTS = ["the red cat", "", "日本", "cat " * 500]


@pytest.fixture
def rows(engine: Engine) -> list[GoldenRow]:
    """What the model answers today."""
    known = []
    for text in TEXTS:
        (one,) = engine.generate([Row(text[:40], Options(**OPTIONS))])  # type: ignore[arg-type]
        ids = (*one.ids, *([3] if one.complete else []))
        written = Written(one.text, ids, one.log_prob, one.complete)
        known.append(GoldenRow("row", text[:40], OPTIONS, {"cpu-fp32": written}))
    return known


def broken(row: GoldenRow, **change: object) -> GoldenRow:
    """The row with another output."""
    written = replace(row.written["cpu-fp32"], **change)  # type: ignore[arg-type]
    return replace(row, written={"cpu-fp32": written})


def test_the_answers_of_the_export_are_accepted(engine: Engine, rows: list[GoldenRow]) -> None:
    check_golden(engine._core, rows, "cpu-fp32", exact=True)
    check_golden(engine._core, rows, "cpu-int8", exact=True)  # of which these rows say nothing


@pytest.mark.parametrize("change", [{"text": "no"}, {"ids": (9,)}, {"log_prob": -9.9}])
def test_the_first_difference_is_named(
    engine: Engine, rows: list[GoldenRow], change: dict[str, object]
) -> None:
    rows[2] = broken(rows[2], **change)
    with pytest.raises(UserError, match=r"1 of 4 rows .* the first, 'row' \('日本'"):
        check_golden(engine._core, rows, "cpu-fp32", exact=True)


def test_other_arithmetic_may_differ_in_a_few_rows(engine: Engine, rows: list[GoldenRow]) -> None:
    rows[0] = broken(rows[0], text="no")
    check_golden(engine._core, rows, "cpu-fp32", exact=False)
    rows[1] = broken(rows[1], text="no")
    with pytest.raises(UserError, match="2 of 4 rows"):
        check_golden(engine._core, rows, "cpu-fp32", exact=False)


def test_a_golden_text_may_be_longer_than_the_model_reads(
    engine: Engine, rows: list[GoldenRow]
) -> None:
    with pytest.raises(UserError, match="1 of 1 rows"):  # it differs, and is not refused
        check_golden(engine._core, [replace(rows[0], text=TEXTS[3])], "cpu-fp32", exact=True)
