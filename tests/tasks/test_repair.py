"""Few edits: which are tried, what they cost, and that a trained model makes the right ones."""

import random

import pytest

from seqvae.data.noise_text import typo
from seqvae.errors import UserError
from seqvae.tasks.repair import Channel, Spelling, repair
from seqvae.tasks.text_model import TextModel

WORDS = ["the", "then", "cat", "act", "dog", "a", "old"]


def test_words_one_slip_apart() -> None:
    spelling = Spelling(WORDS)
    assert spelling.near("teh") == ["the"]
    assert spelling.near("cat") == ["act"]
    assert spelling.near("thenn") == ["then"]
    assert spelling.near("th") == ["the"]
    assert spelling.near("dg") == ["dog"]
    assert spelling.near("ofd") == ["old"]
    assert spelling.near("zebra") == []


def test_every_slip_of_the_keyboard_is_undone() -> None:
    words = ["window", "mountain", "letters", "green"]
    spelling, generator = Spelling(words), random.Random(0)
    for _ in range(200):
        for word, slipped in zip(words, typo(words, 1.0, generator), strict=True):
            assert slipped == word or word in spelling.near(slipped)


def test_what_costs_too_much_is_left_alone(
    text_model: TextModel, language_model: TextModel
) -> None:
    dear = Channel(1e6, 1e6, 1e6)
    texts = ["the rde cat", "  old   dog ", "", "cat <blank> on"]
    for model in (text_model, language_model):
        assert repair(model, texts, dear) == ["the rde cat", "old dog", "", "cat <blank> on"]
        assert repair(model, [], dear) == []


def test_a_text_is_repaired_alike_in_any_company(text_model: TextModel) -> None:
    texts = ["the rde cat sat", "dog old the sat", "the", ""]
    together = text_model.repair(texts, Channel(0.1, 0.1, 0.1, rounds=3))
    assert together == [text_model.repair([t], Channel(0.1, 0.1, 0.1, rounds=3))[0] for t in texts]
    assert together != texts


@pytest.mark.parametrize("name", ["lost", "swapped", "mistyped", "proposals", "rounds"])
def test_a_channel_that_makes_no_sense(name: str) -> None:
    with pytest.raises(UserError, match=f"repair: {name} is 0"):
        Channel(**{name: 0})


def test_a_text_that_is_too_long(text_model: TextModel) -> None:
    with pytest.raises(UserError, match="pieces and the model reads"):
        text_model.repair(["cat " * 500])
