"""Sentences for the demonstration's voices to say: made from a small grammar, so that they are nobody's property."""

import random
from collections.abc import Sequence

# Chosen so that all English phonemes occur many times in a hundred sentences.
WHO = (
    *("the farmer", "my brother", "the young doctor", "her teacher", "a tall stranger"),
    *("the baker", "our neighbour", "the old sailor", "Julia", "Thomas", "the noisy child"),
    *("the judge", "a thief", "George", "the choir", "his cousin", "the cook", "the shepherd"),
)
DID = (
    *("carried", "found", "sold", "watched", "painted", "measured", "dropped", "chose"),
    *("brought", "washed", "hid", "opened", "fixed", "bought", "threw away", "lost"),
)
WHAT = (
    *("a small basket", "the yellow boat", "three books", "a wooden chair", "the whole cheese"),
    *("five thick ropes", "a rough map", "the silver watch", "some fresh bread", "a good knife"),
    *("the broken wheel", "two jars of honey", "a pair of shoes", "the huge fish", "an old coin"),
    *("the garage key", "a bag of flour", "the purple vase"),
)
WHERE = (
    *("near the river", "behind the house", "in the garden", "at the market", "on the beach"),
    *("under the bridge", "beside the church", "by the fire", "in the valley", "on the ship"),
    *("across the field", "at the station", "in the kitchen", "above the stable", "on the hill"),
)
WHEN = (
    *("yesterday", "before noon", "last week", "this morning", "after the storm", "every year"),
    *("at sunrise", "in the evening", "on Thursday", "while it rained", "during the night"),
    *("as usual", "two hours ago", "in the summer"),
)
HOW = (
    *("slowly", "with great pleasure", "without a sound", "too early", "in a hurry"),
    *("by mistake", "for no reason", "very carefully", "with both hands", "again"),
)
FORMS = (
    "{who} {did} {what} {where} {when}.",
    "{when}, {who} {did} {what} {how}.",
    "{who} {did} {what} {how}, and {other} laughed.",
    "did you know that {who} {did} {what} {where}?",
    "{where}, {who} and {other} {did} {what}.",
    "nobody believed that {who} {did} {what} {when}.",
)


def sentences(count: int, seed: int = 0) -> list[str]:
    """Different sentences of 7 to 17 words; the first `n` are the same for every count.

    Raises:
        ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"{count} sentences are too few")
    chance = random.Random(seed)
    found: dict[str, None] = {}
    # There are millions: hardly any comes twice.
    while len(found) < count:
        found.setdefault(_sentence(chance))
    return list(found)


def _sentence(chance: random.Random) -> str:
    who, other = chance.sample(WHO, 2)
    words = {"who": who, "other": other} | {
        name: chance.choice(choices) for name, choices in _CHOICES
    }
    text = chance.choice(FORMS).format(**words)
    return text[0].upper() + text[1:]


_CHOICES: Sequence[tuple[str, Sequence[str]]] = (
    ("did", DID),
    ("what", WHAT),
    ("where", WHERE),
    ("when", WHEN),
    ("how", HOW),
)
