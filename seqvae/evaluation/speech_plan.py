"""Which recordings to convert into which voices, so that every pair of speakers is judged alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

import numpy as np

from seqvae.evaluation.referees.words import normalise


class Recordings(Protocol):
    """What is asked of a split of a speech corpus."""

    @property
    def speaker(self) -> np.ndarray:
        """Speaker's number of each recording, int [N]."""

    def text(self, index: int) -> str:
        """What is said; empty if nobody knows."""

    def name(self, index: int) -> str:
        """Where it came from."""


@dataclass(frozen=True)
class Conversion:
    """One recording to convert.

    Attributes:
        recording: its number in the split.
        source: number of its speaker.
        target: number of the speaker to become.
        reference: number of the target's own recording of the same sentence in the split, if there is one.
    """

    recording: int
    source: int
    target: int
    reference: int | None


def plan(
    recordings: Recordings, targets: Sequence[int], *, limit: int, pairs: int
) -> list[Conversion]:
    """Conversions, `limit` for each of up to `pairs` ordered pairs of speakers.

    Sentences that the target says too come first: they have a reference. The rest are spread over the split.

    Args:
        recordings: the split.
        targets: speakers that can be converted to.
        limit: most recordings of a pair.
        pairs: most pairs; with more speakers than they suffice for, every speaker gets as many as the others.
    """
    own: dict[int, dict[str, int]] = {}
    for index, speaker in enumerate(recordings.speaker.tolist()):
        own.setdefault(speaker, {}).setdefault(_sentence(recordings, index), index)
    found = []
    for source, target in _pairs(sorted(own), sorted(targets), pairs):
        there = own.get(target, {})
        both = [index for sentence, index in own[source].items() if sentence in there]
        alone = [index for sentence, index in own[source].items() if sentence not in there]
        chosen = _spread(both, limit)
        chosen += _spread(alone, limit - len(chosen))
        found += [
            Conversion(index, source, target, there.get(_sentence(recordings, index)))
            for index in chosen
        ]
    return found


def _sentence(recordings: Recordings, index: int) -> str:
    """What makes two recordings the same sentence: the text, or without one the file's name."""
    said = normalise(recordings.text(index))
    if said:
        return said
    file = recordings.name(index).replace("\\", "/").rsplit("/", 1)[-1]
    return f"file {file.rsplit('.', 1)[0]}"


def _pairs(sources: Sequence[int], targets: Sequence[int], most: int) -> list[tuple[int, int]]:
    everyone = sorted({*sources, *targets})
    every = [
        (a, b) for a, b in permutations(everyone, 2) if a in set(sources) and b in set(targets)
    ]
    if len(every) <= most:
        return every
    # By the distance around a circle of all speakers: nearby ones first, each speaker once a round.
    size, place = len(everyone), {speaker: i for i, speaker in enumerate(everyone)}
    return sorted(every, key=lambda p: ((place[p[1]] - place[p[0]]) % size, p[0]))[:most]


def _spread(indices: Sequence[int], count: int) -> list[int]:
    if count <= 0 or not indices:
        return []
    at = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return [indices[i] for i in np.unique(at)]
