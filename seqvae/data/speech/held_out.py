"""Which utterances are held out: whole prompts, so that no sentence is in two splits, and whole speakers."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import filter as fnfilter
from fnmatch import fnmatchcase

from seqvae.data.speech.corpus import SPLITS
from seqvae.data.speech.settings import PrepareSpeech, named
from seqvae.errors import UserError

TRAIN, VALID, TEST = SPLITS

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True)
class Candidate:
    """What decides where an utterance goes.

    Attributes:
        speaker: who speaks.
        name: of the utterance.
        stem: the file's name without ending.
        text: what is said; empty if nobody knows.
        cut: whether it is a piece of a longer recording.
    """

    speaker: str
    name: str
    stem: str
    text: str
    cut: bool


def assign_splits(
    candidates: Sequence[Candidate], config: PrepareSpeech, say: Callable[[str], None]
) -> list[str]:
    """The split of each utterance.

    First the speakers and prompts that are named, then prompts in the order of a seeded hash until there are as
    many as wanted. None is drawn that would leave a speaker nothing to be learnt from, nor one larger than what
    is wanted.

    Args:
        candidates: the utterances.
        config: the user's choice.
        say: gets notices.

    Raises:
        UserError: what was named does not exist, or nothing is left for a split that is wanted.
    """
    splits = [TRAIN] * len(candidates)
    keys = prompts_of(candidates, config)
    away = _held_speakers(candidates, config)
    for index, candidate in enumerate(candidates):
        if candidate.speaker in away:
            splits[index] = TEST
    for split, names in ((TEST, config.test_prompts), (VALID, config.valid_prompts)):
        _name_prompts(candidates, keys, splits, split, named(names))
    quotas = {TEST: config.test_quota, VALID: config.valid}
    if config.valid_prompts:
        quotas[VALID] = 0.0
    free = splits.count(TRAIN)
    for split, quota in quotas.items():
        if quota:
            wanted = max(1, round(quota * free)) if quota < 1.0 else int(quota)
            _draw(candidates, keys, splits, split, wanted, quota < 1.0, config.seed)
    _expect(candidates, splits, [TRAIN, *(split for split, quota in quotas.items() if quota)])
    known = {c.speaker for c, split in zip(candidates, splits, strict=True) if split == TRAIN}
    for speaker in sorted({c.speaker for c in candidates} - known - away):
        say(f"{speaker}: every prompt is held out; this voice is not learnt")
    return splits


def prompts_of(candidates: Sequence[Candidate], config: PrepareSpeech) -> list[str]:
    """What each utterance says, as a key: those with the same stay in one split."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        speakers[candidate.stem].add(candidate.speaker)
    keys = []
    for candidate in candidates:
        text = " ".join(_WORD.findall(candidate.text.casefold()))
        file = f"file {candidate.stem}"
        alone = f"recording {candidate.name}"
        if config.group == "text":
            keys.append(f"text {text}" if text else alone)
        elif config.group == "file":
            keys.append(file)
        elif config.group == "recording" or candidate.cut:
            keys.append(alone)
        elif text:
            keys.append(f"text {text}")
        else:
            keys.append(file if len(speakers[candidate.stem]) > 1 else alone)
    return keys


def _held_speakers(candidates: Sequence[Candidate], config: PrepareSpeech) -> set[str]:
    counts = Counter(candidate.speaker for candidate in candidates)
    held: set[str] = set()
    for pattern in named(config.test_speakers):
        found = {name for name in counts if name == pattern or fnmatchcase(name, pattern)}
        if not found:
            raise UserError(
                f"--test-speakers: no speaker {pattern!r}; there are {', '.join(sorted(counts)[:20])}"
            )
        held |= found
    rest = sorted(set(counts) - held)
    if config.test_speaker_count >= len(rest):
        raise UserError(
            f"--test-speaker-count: {config.test_speaker_count} of {len(rest)} speakers leaves none to learn from"
        )
    # Of few recordings less is lost; of half of them there is still a choice.
    few = sorted(counts[name] for name in rest)[: max(config.test_speaker_count, len(rest) // 2)]
    drawn = sorted(
        (name for name in rest if few and counts[name] <= few[-1]),
        key=lambda name: _hash(config.seed, f"speaker {name}"),
    )
    return held | set(drawn[: config.test_speaker_count])


def _name_prompts(
    candidates: Sequence[Candidate],
    keys: Sequence[str],
    splits: list[str],
    split: str,
    patterns: Sequence[str],
) -> None:
    names: dict[str, set[str]] = defaultdict(set)
    for candidate, key in zip(candidates, keys, strict=True):
        for name in (candidate.stem, candidate.name, candidate.text):
            names[name].add(key)
    chosen: set[str] = set()
    for pattern in patterns:
        # A list of a thousand prompts is looked up, not matched with every recording.
        found = names.get(pattern) or {k for n in fnfilter(names, pattern) for k in names[n]}
        if not found:
            raise UserError(
                f"--{split}-prompts: no recording {pattern!r}; names are like {candidates[0].stem!r}"
            )
        chosen |= found
    for index, key in enumerate(keys):
        if key in chosen and splits[index] == TRAIN:
            splits[index] = split


def _draw(
    candidates: Sequence[Candidate],
    keys: Sequence[str],
    splits: list[str],
    split: str,
    wanted: int,
    by_share: bool,
    seed: int,
) -> None:
    """Hold out so many recordings (`by_share`) or prompts."""
    groups: dict[str, list[int]] = defaultdict(list)
    left: Counter[str] = Counter()
    for index, key in enumerate(keys):
        if splits[index] == TRAIN:
            groups[key].append(index)
            left[candidates[index].speaker] += 1
    if not by_share and wanted > len(groups) / 2:
        raise UserError(f"--{split}: {wanted:,} prompts are more than half of the {len(groups):,}")
    taken = {key: Counter(candidates[i].speaker for i in group) for key, group in groups.items()}

    def spares(key: str) -> bool:
        """Whether every speaker keeps a recording to be learnt from."""
        return all(left[speaker] > count for speaker, count in taken[key].items())

    # A prompt that all speakers read is larger than a small share, and still the least that can be held out.
    least = min((len(group) for key, group in groups.items() if spares(key)), default=0)
    largest = max(wanted, least)
    for key in sorted(groups, key=lambda key: _hash(seed, key)):
        if wanted <= 0:
            break
        members = groups[key]
        if not spares(key):
            continue
        if by_share and len(members) > largest:
            continue
        for index in members:
            splits[index] = split
        left.subtract(taken[key])
        wanted -= len(members) if by_share else 1
        largest = max(0, largest - len(members))


def _expect(candidates: Sequence[Candidate], splits: Sequence[str], wanted: Sequence[str]) -> None:
    empty = [name for name in SPLITS if name in wanted and name not in splits]
    if not empty:
        return
    speakers = len({candidate.speaker for candidate in candidates})
    raise UserError(
        f"too few recordings: {len(candidates):,} of {speakers:,} speakers leave nothing for "
        f"{' and '.join(empty)}, as every speaker keeps one to be learnt from; give more, or --valid 0 --test 0, "
        "or hold out whole speakers with --test-speaker-count"
    )


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()
