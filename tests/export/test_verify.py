"""What deviates from PyTorch is refused, and the comparison is told as a table."""

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.export.verify import LIMITS, Report, failures, refuse_failures, relative, table

GOOD = {
    "logits_error": 4e-6,
    "greedy_equal": 1.0,
    "sampled_equal": 1.0,
    "beam_equal": 1.0,
    "beam_error": 2e-5,
    "batch_equal": 1.0,
    "bytes": 5e6,
    "model_megabytes": 2.5,
    "load_seconds": 0.1,
    "step_ms": 0.3,
    "token_ms": 0.4,
}


@pytest.mark.parametrize(
    ("precision", "figure", "value"),
    [
        ("fp32", "logits_error", 2e-5),
        ("fp32", "logits_error", float("nan")),
        ("fp32", "greedy_equal", 0.99),
        ("fp32", "beam_error", 2e-4),
        ("fp32", "batch_equal", 0.9),
        ("int8", "logits_error", 0.011),
        ("int8", "logits_error", float("inf")),
        ("fp16", "logits_error", 0.006),
    ],
)
def test_each_limit_is_held(precision: str, figure: str, value: float) -> None:
    assert not failures(GOOD, LIMITS[precision])
    (told,) = failures({**GOOD, figure: value}, LIMITS[precision])
    assert told.startswith(figure)


def test_smaller_precisions_may_choose_other_tokens() -> None:
    other = {**GOOD, "logits_error": 0.004, "greedy_equal": 0.8, "batch_equal": 0.9}
    assert not failures(other, LIMITS["int8"]) and not failures(other, LIMITS["fp16"])


def test_a_refusal_names_what_and_how_to_go_on() -> None:
    bad = Report("cpu-int8", {**GOOD, "logits_error": 0.05}, ["logits_error 0.05 (at most 0.01)"])
    refuse_failures([Report("cpu-fp32", GOOD)])
    with pytest.raises(UserError, match=r"cpu-int8: logits_error 0\.05 .*--variants cpu-fp32\n"):
        refuse_failures([Report("cpu-fp32", GOOD), bad])
    with pytest.raises(UserError, match="report this"):
        refuse_failures([bad])


def test_the_table_is_plain_text() -> None:
    lines = table({"cpu-fp32": GOOD, "cpu-int8": {**GOOD, "greedy_equal": 0.95}}).splitlines()
    assert len(lines) == 3 and lines[0].startswith("variant")
    assert "95.0%" in lines[2] and "4.0e-06" in lines[1]
    column = lines[0].index("greedy")
    assert lines[1][column:].startswith("100.0%") and lines[2][column:].startswith("95.0%")


def test_what_is_not_finite_is_as_far_as_can_be() -> None:
    assert relative(np.array([1.0, np.nan]), np.ones(2)) == float("inf")
    assert relative(np.array([1.0, 1.01]), np.ones(2)) == pytest.approx(0.01 / 2**0.5)
