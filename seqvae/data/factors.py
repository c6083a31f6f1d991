"""Sentences of which every factor of variation is known and independent of the others: data to measure
disentanglement on.

As the sprites of dSprites (Matthey et al. 2017) are all combinations of shape, scale, place and turn, these are all
combinations of who does what to what, how many, when, and whether at all. No factor can be told from another, and
each shows in every sentence: "the sailors did not find a rope" has one reading.
"""

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

_SUBJECTS = ("cook", "sailor", "teacher", "doctor", "farmer", "singer")
_OBJECTS = ("rope", "letter", "lamp", "coin", "map", "ring")
# The third person of the present, the plain form, and the past.
_VERBS = (
    ("finds", "find", "found"),
    ("sees", "see", "saw"),
    ("keeps", "keep", "kept"),
    ("breaks", "break", "broke"),
    ("hides", "hide", "hid"),
    ("sells", "sell", "sold"),
)

FACTORS: dict[str, tuple[str, ...]] = {
    "subject": _SUBJECTS,
    "number": ("one", "many"),
    "verb": tuple(plain for _, plain, _ in _VERBS),
    "tense": ("present", "past", "future"),
    "negation": ("affirmed", "denied"),
    "object": _OBJECTS,
    "count": ("a", "two"),
}
"""Names of the factors, and of the values of each: 5,184 sentences."""


@dataclass(frozen=True)
class Factored:
    """A sentence and what it is made of.

    Attributes:
        text: the sentence.
        values: for each of `FACTORS`, which of its values this sentence has.
    """

    text: str
    values: tuple[int, ...]


def factored(lines: int | None = None, seed: int = 0) -> list[Factored]:
    """Different sentences in random order.

    Args:
        lines: how many; None: all.
        seed: the same seed gives the same sentences.

    Raises:
        ValueError: there are fewer.
    """
    combinations = list(itertools.product(*(range(len(values)) for values in FACTORS.values())))
    if lines is not None and not 0 < lines <= len(combinations):
        raise ValueError(f"lines must be from 1 to {len(combinations)}, got {lines}")
    chosen = random.Random(seed).sample(combinations, lines or len(combinations))
    return [Factored(_sentence(*values), values) for values in chosen]


def write_factored(path: Path, lines: int | None = None, seed: int = 0) -> Path:
    """Write the sentences of `factored` to a file that `prepare` reads; returns its path."""
    text = "\n".join(sentence.text for sentence in factored(lines, seed))
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _sentence(
    subject: int, number: int, verb: int, tense: int, negation: int, thing: int, count: int
) -> str:
    who = f"the {_SUBJECTS[subject]}{'s' if number else ''}"
    third, plain, past = _VERBS[verb]
    if tense == 2:
        did = f"will not {plain}" if negation else f"will {plain}"
    elif negation:
        did = f"{('do' if number else 'does') if tense == 0 else 'did'} not {plain}"
    elif tense == 1:
        did = past
    else:
        did = plain if number else third
    what = f"two {_OBJECTS[thing]}s" if count else f"a {_OBJECTS[thing]}"
    return f"{who} {did} {what}"
