"""Laws of the damage to texts and of the count of word errors."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.noise_text import DAMAGES, damage, word_errors
from seqvae.errors import UserError

TEXT = " ".join(["two dogs play in the deep snow"] * 300)
WORDS = st.lists(st.sampled_from("abcd"), max_size=7)


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_rate_is_the_share_of_damaged_words(kind: str) -> None:
    words = TEXT.split()
    found = damage(TEXT, [kind], 0.2, random.Random(0)).split()
    if kind == "drop":
        share = 1 - len(found) / len(words)
    else:
        assert len(found) == len(words)
        share = sum(a != b for a, b in zip(words, found, strict=True)) / len(words)
    # 5 standard errors of 2,100 draws; of pairs that change together, of half as many.
    assert abs(share - 0.2) < (0.062 if kind == "swap" else 0.044)
    assert damage(TEXT, [kind], 0.0, random.Random(0)) == TEXT


def test_swaps_keep_the_words_and_typos_their_length_within_one() -> None:
    words = TEXT.split()
    assert sorted(damage(TEXT, ["swap"], 0.5, random.Random(1)).split()) == sorted(words)
    typos = damage(TEXT, ["typo"], 1.0, random.Random(1)).split()
    assert all(abs(len(a) - len(b)) <= 1 for a, b in zip(words, typos, strict=True))
    assert all(a != b for a, b in zip(words, typos, strict=True))


@given(st.text(max_size=30), st.floats(0, 1), st.integers(0, 99))
def test_any_text_is_damaged_the_same_again(text: str, rate: float, seed: int) -> None:
    found = damage(text, list(DAMAGES), rate, random.Random(seed))
    assert found == damage(text, list(DAMAGES), rate, random.Random(seed))
    assert bool(found.split()) == bool(text.split())


@given(WORDS, WORDS, WORDS)
def test_word_errors_are_a_distance(a: list[str], b: list[str], c: list[str]) -> None:
    x, y, z = (" ".join(words) for words in (a, b, c))
    assert (word_errors(x, y) == 0) == (x == y)
    assert word_errors(x, y) == word_errors(y, x) <= max(len(a), len(b))
    assert word_errors(x, z) <= word_errors(x, y) + word_errors(y, z)


def test_word_errors_by_hand() -> None:
    assert word_errors("a dog plays snow", "a dog plays in the snow") == 2
    assert word_errors("dog a plays", "a dog plays") == 2
    assert word_errors("a dgo plays", "a dog plays") == 1


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="rot is no kind of damage; known: drop, swap, typo"):
        damage("a", ["rot"], 0.1, random.Random(0))
    with pytest.raises(UserError, match="rate 2"):
        damage("a", ["drop"], 2, random.Random(0))
