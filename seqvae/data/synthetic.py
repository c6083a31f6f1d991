"""A small grammar that makes English sentences with topics and paraphrases: data for tests and a demo that needs
no download."""

import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Topic:
    people: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[str, ...]
    actions: tuple[tuple[str, str], ...]
    qualities: tuple[str, ...]


# Every action is given twice: two verbs of about the same meaning, which makes a paraphrase.
_TOPICS = {
    "kitchen": _Topic(
        ("the cook", "my aunt", "the baker", "a hungry guest", "the waiter", "her neighbour"),
        ("the soup", "fresh bread", "a cake", "the apples", "rice with beans", "an old recipe"),
        ("in the kitchen", "at the market", "near the oven", "behind the counter"),
        (("prepared", "made"), ("tasted", "tried"), ("bought", "purchased"), ("shared", "divided")),
        ("warm", "sweet", "salty", "burnt", "simple", "delicious"),
    ),
    "harbour": _Topic(
        ("the captain", "a sailor", "two fishermen", "the pilot", "an old diver", "the crew"),
        ("the anchor", "a small boat", "the nets", "a heavy rope", "the map", "the sails"),
        ("on the pier", "in the bay", "under the bridge", "beside the lighthouse"),
        (("repaired", "fixed"), ("lifted", "raised"), ("lost", "misplaced"), ("found", "discovered")),
        ("wet", "rusty", "long", "torn", "white", "broken"),
    ),
    "school": _Topic(
        ("the teacher", "a student", "the new girl", "my brother", "the whole class", "a parent"),
        ("a poem", "the answer", "a hard question", "the book", "a letter", "the lesson"),
        ("in the library", "at the blackboard", "in the yard", "during the break"),
        (("read", "studied"), ("wrote", "composed"), ("explained", "clarified"), ("forgot", "did not remember")),
        ("short", "strange", "difficult", "clear", "funny", "important"),
    ),
    "weather": _Topic(
        ("the wind", "a storm", "the cold rain", "the sun", "a thin fog", "the first snow"),
        ("the hills", "the fields", "the old road", "the river", "the gardens", "the town"),
        ("in the morning", "before dawn", "all night", "in late autumn"),
        (("covered", "hid"), ("crossed", "passed over"), ("changed", "altered"), ("reached", "came to")),
        ("grey", "quiet", "empty", "green", "frozen", "bright"),
    ),
}  # fmt: skip
_TIMES = (("yesterday", "the day before today"), ("today", "this day"), ("again", "once more"), ("slowly", "without haste"))  # fmt: skip
_LINKS = (("because", "since"), ("although", "even though"), ("while", "as"))


def sentences(lines: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Make different sentences.

    Args:
        lines: how many.
        seed: the same seed gives the same sentences.

    Returns:
        Of each: the sentence, a paraphrase of it, and its topic.
    """
    generator = random.Random(seed)
    made: dict[str, tuple[str, str, str]] = {}
    while len(made) < lines:
        topic = generator.choice(sorted(_TOPICS))
        sentence, paraphrase = _sentence(generator, _TOPICS[topic])
        made.setdefault(sentence, (sentence, paraphrase, topic))
    return list(made.values())


def write_synthetic(
    path: Path, lines: int = 2000, seed: int = 0, pairs: bool = False, labels: bool = False
) -> Path:
    """Write sentences to a file that `prepare` reads.

    Args:
        path: where to; with `pairs` or `labels` a `.tsv` with the columns text, paraphrase, topic (those asked for).
        lines: how many sentences.
        seed: the same seed gives the same file.
        pairs: add the paraphrase.
        labels: add the topic.

    Returns:
        The path.
    """
    names = ("text", "paraphrase", "topic")
    chosen = [0, *([1] if pairs else []), *([2] if labels else [])]
    rows = ["\t".join(row[i] for i in chosen) for row in sentences(lines, seed)]
    if len(chosen) > 1:
        rows.insert(0, "\t".join(names[i] for i in chosen))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _sentence(generator: random.Random, topic: _Topic) -> tuple[str, str]:
    clause, other = _clause(generator, topic)
    if generator.random() < 0.4:
        link, other_link = generator.choice(_LINKS)
        second, other_second = _clause(generator, topic)
        # The paraphrase turns the order of the clauses round.
        return f"{clause} {link} {second} .", f"{other_link} {other_second} , {other} ."
    return f"{clause} .", f"{other} ."


def _clause(generator: random.Random, topic: _Topic) -> tuple[str, str]:
    who, what = generator.choice(topic.people), generator.choice(topic.things)
    verb, other_verb = generator.choice(topic.actions)
    form = generator.randrange(4)
    if form == 0:
        quality = generator.choice(topic.qualities)
        return f"{who} said that {what} looked {quality}", f"{what} looked {quality} , {who} said"
    if form == 1:
        where = generator.choice(topic.places)
        return f"{who} {verb} {what} {where}", f"{where} {who} {other_verb} {what}"
    if form == 2:
        when, other_when = generator.choice(_TIMES)
        return f"{when} {who} {verb} {what}", f"{who} {other_verb} {what} {other_when}"
    where, (when, other_when) = generator.choice(topic.places), generator.choice(_TIMES)
    return f"{who} {when} {verb} {what} {where}", f"{where} {who} {other_verb} {what} {other_when}"
