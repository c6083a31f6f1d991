import dataclasses
from typing import Any

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.export.bundle_manifest import OPTIONS
from seqvae.serving.options import RULES, Options, feeds_of

BAD: dict[str, list[Any]] = {
    "seed": [2**63, -(2**63) - 1, 0.5, True, "1", None],
    "sample": [-1, 2**31 - 1, 1.0],
    "noise_scale": [-0.1, float("nan"), float("inf"), 10**400, "1", True],
    "temperature": [-1, float("nan"), 1e39],
    "top_k": [-1, 2.5, 2**31],
    "top_p": [0, 0.0, 1.01, float("nan"), -1],
    "beam": [1, 0, "yes", None],
    "length_penalty": [-0.5, float("inf")],
    "max_length": [0, 65537, 3.0],
}


def test_every_option_has_a_rule_and_its_default_keeps_it() -> None:
    assert list(RULES) == [field.name for field in dataclasses.fields(Options)] == list(BAD)
    assert vars(Options()) == {name: known.default for name, known in OPTIONS.items()}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD.items() for v in vs])
def test_a_bad_value_is_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"options: {name} is .*; it must be"):
        Options(**{name: value})  # type: ignore[arg-type]


def test_numpy_scalars_become_plain() -> None:
    plain = Options(seed=3, temperature=0.5, beam=True)
    mixed = Options(seed=np.int64(3), temperature=np.float32(0.5), beam=np.True_)  # type: ignore[arg-type]
    assert plain == mixed and type(mixed.seed) is int and type(mixed.beam) is bool
    assert type(Options(temperature=1).temperature) is float


def test_the_extremes_are_accepted() -> None:
    for name, rule in RULES.items():
        low = 1e-9 if name == "top_p" else rule.low
        for value in (low, rule.high):
            given: Any = bool(value) if rule.dtype is np.bool_ else value
            assert getattr(Options(**{name: given}), name) == value


def test_a_batch_is_one_column_an_option() -> None:
    feeds = feeds_of([Options(), Options(seed=-5, beam=True, temperature=0.7)])
    for name, rule in RULES.items():
        assert feeds[name].shape == (2, 1) and feeds[name].dtype == rule.dtype
    assert feeds["seed"].tolist() == [[0], [-5]] and feeds["beam"].tolist() == [[False], [True]]
    assert feeds_of([], ["seed", "top_p"]).keys() == {"seed", "top_p"}
    assert feeds_of([])["seed"].shape == (0, 1)
