"""Damage done to texts before they are split into pieces: lost and exchanged words, slips of the keyboard.

`seqvae.data.noise` damages pieces, among which a slip within a word does not exist. With these, a corpus of pairs (damaged,
whole) trains a denoiser: the encoder reads the one and the decoder writes the other.
"""

import random
from collections.abc import Callable, Sequence

from seqvae.errors import UserError

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def drop(words: Sequence[str], rate: float, generator: random.Random) -> list[str]:
    """Each word is lost with probability `rate`; one always stays."""
    kept = [word for word in words if generator.random() >= rate]
    return kept or [generator.choice(list(words))] if words else []


def swap(words: Sequence[str], rate: float, generator: random.Random) -> list[str]:
    """Neighbours change places: a share `rate` of the words moves, none more than one place."""
    found = list(words)
    place = 0
    while place + 1 < len(found):
        # A pair that changes moves two words and is passed over, so pairs begin at this rate.
        if generator.random() < rate / (2 - rate):
            found[place], found[place + 1] = found[place + 1], found[place]
            place += 1
        place += 1
    return found


def typo(words: Sequence[str], rate: float, generator: random.Random) -> list[str]:
    """Each word is mistyped with probability `rate`: a letter is missing, doubled, exchanged with its neighbour or hit beside."""
    return [_mistyped(word, generator) if generator.random() < rate else word for word in words]


def _mistyped(word: str, generator: random.Random) -> str:
    place = generator.randrange(len(word))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    kind = generator.choice(("missing", "doubled", "exchanged", "beside"))
    if kind == "missing" and len(word) > 1:
        return before + after
    if kind == "exchanged" and after and after[0] != letter:
        return before + after[0] + letter + after[1:]
    beside = _beside(letter.lower())
    if kind == "beside" and beside:
        return before + generator.choice(beside) + after
    return before + letter + letter + after


def _beside(letter: str) -> str:
    """The keys to the left and right of a letter's."""
    for row in _KEYS:
        place = row.find(letter)
        if place >= 0:
            return row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    return ""


DAMAGES: dict[str, Callable[[Sequence[str], float, random.Random], list[str]]] = {
    "drop": drop,
    "swap": swap,
    "typo": typo,
}


def damage(text: str, kinds: Sequence[str], rate: float, generator: random.Random) -> str:
    """A text with some of its words damaged, in the order of `kinds`; the rate is shared among them.

    Args:
        text: split at white space.
        kinds: of `DAMAGES`.
        rate: about the share of words damaged in all.
        generator: source of randomness; the same state does the same damage.

    Raises:
        UserError: a kind is unknown or `rate` no probability.

    Example:
        >>> damage("two dogs play in the snow", ["swap"], 0.5, random.Random(1))
        'dogs two play in snow the'
    """
    unknown = set(kinds) - set(DAMAGES)
    if unknown or not kinds:
        raise UserError(
            f"damage: {', '.join(sorted(unknown)) or 'nothing'} is no kind of damage; "
            f"known: {', '.join(DAMAGES)}"
        )
    if not 0.0 <= rate <= 1.0:
        raise UserError(f"damage: rate {rate} is not a probability")
    words = text.split()
    for kind in kinds:
        words = DAMAGES[kind](words, rate / len(kinds), generator)
    return " ".join(words)


def word_errors(written: str, wanted: str) -> int:
    """Least number of words to insert, remove or exchange that makes one text the other (Levenshtein 1966)."""
    first, second = written.split(), wanted.split()
    row = list(range(len(second) + 1))
    for i, word in enumerate(first, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (word != other))
    return row[-1]
