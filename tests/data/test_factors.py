"""Sentences made of factors: every one has one reading, and no factor tells of another."""

from collections import Counter
from pathlib import Path

import pytest

from seqvae.data.factors import FACTORS, factored, write_factored


def test_a_sentence_has_one_reading() -> None:
    everything = factored()
    assert len(everything) == 5184
    assert len({sentence.text for sentence in everything}) == 5184
    assert len({sentence.values for sentence in everything}) == 5184


def test_every_pair_of_values_is_as_frequent_as_every_other() -> None:
    everything = factored()
    sizes = [len(values) for values in FACTORS.values()]
    for one in range(len(sizes)):
        for other in range(one):
            pairs = Counter((s.values[one], s.values[other]) for s in everything)
            assert len(pairs) == sizes[one] * sizes[other]
            assert len(set(pairs.values())) == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0, 0, 0, 0, 0, 0, 0), "the cook finds a rope"),
        ((0, 1, 0, 0, 0, 0, 0), "the cooks find a rope"),
        ((1, 1, 1, 1, 0, 1, 1), "the sailors saw two letters"),
        ((1, 0, 3, 0, 1, 2, 0), "the sailor does not break a lamp"),
        ((2, 1, 2, 0, 1, 3, 1), "the teachers do not keep two coins"),
        ((3, 0, 5, 1, 1, 4, 0), "the doctor did not sell a map"),
        ((4, 0, 4, 2, 0, 5, 1), "the farmer will hide two rings"),
        ((5, 1, 0, 2, 1, 0, 0), "the singers will not find a rope"),
    ],
)
def test_it_is_english(values: tuple[int, ...], text: str) -> None:
    assert {sentence.values: sentence.text for sentence in factored()}[values] == text


def test_files_repeat_and_are_cut_where_asked(tmp_path: Path) -> None:
    first = write_factored(tmp_path / "a.txt", 50, seed=3).read_text(encoding="utf-8")
    assert first == write_factored(tmp_path / "b.txt", 50, seed=3).read_text(encoding="utf-8")
    assert first != write_factored(tmp_path / "c.txt", 50, seed=4).read_text(encoding="utf-8")
    assert len(set(first.splitlines())) == 50
    for lines in (0, 5185):
        with pytest.raises(ValueError, match="from 1 to 5184"):
            factored(lines)
