"""Exact-duplicate removal and the seeded split, on hashes alone."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqvae.data.spool import ByteArray, HashArray, Spool
from seqvae.data.storage import LongArray

DROPPED, TRAIN, VALID, TEST = 0, 1, 2, 3
SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}

# Rows handled at once, and the most hashes sorted at once: both bound memory.
_CHUNK = 1 << 22
_PARTITION = 1 << 24


@dataclass(frozen=True)
class SplitRules:
    """How records are divided.

    Attributes:
        valid: share of the records, or 0.
        test: share of the records, or 0.
        most: most records held out for either.
        deduplicate: drop repeated training records.
        seed: of the choice.
    """

    valid: float
    test: float
    most: int
    deduplicate: bool
    seed: int


def assign_splits(spool: Spool, roles: ByteArray, rules: SplitRules) -> Counter[str]:
    """Give every record its split.

    Records that came from a file for validation or testing stay there, repeated or not. Of the rest, repeats are
    dropped, whole groups are held out by the smallest seeded hash, and what then also occurs in a later split of
    train < valid < test is dropped from the earlier one, so that no text is in two.

    Args:
        spool: the records.
        roles: the split each record's file was given for, `TRAIN` where it may be held out; overwritten with
            the split, or `DROPPED`, [N].
        rules: shares and seed.

    Returns:
        Counts of dropped records by reason.
    """
    dropped: Counter[str] = Counter()
    if rules.deduplicate:
        dropped["duplicate"] = _drop_repeats(spool.hashes, roles)
    groups = spool.hashes if spool.groups is None else spool.groups
    if spool.sides is not None:
        groups = _components(spool.sides)
    given = roles > TRAIN
    _hold_out(groups, roles, rules)
    for numbers in spool.named():
        _return_lost_labels(numbers, roles, given)
    sides = spool.hashes[:, None] if spool.sides is None else spool.sides
    dropped["in valid and test"] = _drop_shared(sides, roles, VALID, (TEST,))
    dropped["in train and a held-out split"] = _drop_shared(sides, roles, TRAIN, (VALID, TEST))
    return dropped


def mix(hashes: HashArray, seed: int) -> HashArray:
    """Scramble 64-bit hashes with a seed (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        x = hashes ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % (1 << 64))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: HashArray = x ^ (x >> np.uint64(31))
    return mixed


def _drop_repeats(hashes: HashArray, roles: ByteArray) -> int:
    partitions = 1 << max(0, (len(hashes) // _PARTITION)).bit_length()
    shift = np.uint64(64 - (partitions.bit_length() - 1))
    total = 0
    for partition in range(partitions):
        values, places = [], []
        for start in range(0, len(hashes), _CHUNK):
            chunk = np.asarray(hashes[start : start + _CHUNK])
            chosen = roles[start : start + _CHUNK] == TRAIN
            if partitions > 1:
                chosen &= (chunk >> shift) == partition
            here = np.flatnonzero(chosen)
            values.append(chunk[here])
            places.append(here + start)
        where = np.concatenate(places) if places else np.zeros(0, np.int64)
        if not len(where):
            continue
        _, first = np.unique(np.concatenate(values), return_index=True)
        repeated = np.ones(len(where), bool)
        repeated[first] = False
        roles[where[repeated]] = DROPPED
        total += int(repeated.sum())
    return total


def _components(sides: HashArray) -> HashArray:
    """Key of the connected component of each pair: pairs that share a sentence, directly or through others."""
    names, node = np.unique(np.asarray(sides).ravel(), return_inverse=True)
    left, right = node[0::2], node[1::2]
    label = np.arange(len(names))
    while True:
        lowest = np.minimum(label[left], label[right])
        updated = label.copy()
        np.minimum.at(updated, label[left], lowest)
        np.minimum.at(updated, label[right], lowest)
        updated = updated[updated]
        if np.array_equal(updated, label):
            keys: HashArray = names[label[left]]
            return keys
        label = updated


def _hold_out(groups: HashArray, roles: ByteArray, rules: SplitRules) -> None:
    free = int(np.count_nonzero(roles == TRAIN))
    quotas = {
        code: min(max(1, round(share * free)), rules.most)
        for code, share in ((TEST, rules.test), (VALID, rules.valid))
        if share > 0
    }
    if free < len(quotas) + 1 or not quotas:
        return
    # Twice the quota leaves room for groups that are too large to be held out.
    share = min(1.0, 2 * sum(quotas.values()) / free + 1000 / free)
    keys, places = _smallest(groups, roles, share, rules.seed)
    order = np.lexsort((places, keys))
    keys, places = keys[order], places[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    sizes = np.diff(np.r_[starts, len(keys)])
    for start, size in zip(starts, sizes, strict=True):
        code = next((code for code, quota in quotas.items() if size <= quota), None)
        if code is not None:
            roles[places[start : start + size]] = code
            quotas[code] -= size
        if not any(quotas.values()):
            break


def _smallest(
    groups: HashArray, roles: ByteArray, share: float, seed: int
) -> tuple[HashArray, LongArray]:
    threshold = np.uint64(min(int(share * 2.0**64), (1 << 64) - 1))
    keys, places = [], []
    for start in range(0, len(groups), _CHUNK):
        mixed = mix(np.asarray(groups[start : start + _CHUNK]), seed)
        here = np.flatnonzero((mixed <= threshold) & (roles[start : start + _CHUNK] == TRAIN))
        keys.append(mixed[here])
        places.append(here + start)
    return np.concatenate(keys), np.concatenate(places)


def _return_lost_labels(
    labels: np.ndarray[Any, Any], roles: ByteArray, given: np.ndarray[Any, np.dtype[np.bool_]]
) -> None:
    """A label that only held-out records carry cannot be learnt: they go back to training."""
    size = int(labels.max(initial=-1)) + 1
    present = np.bincount(labels[roles != DROPPED], minlength=size) > 0
    lost = present & (np.bincount(labels[roles == TRAIN], minlength=size) == 0)
    if lost.any():
        roles[lost[labels] & (roles > TRAIN) & ~given] = TRAIN


def _drop_shared(sides: HashArray, roles: ByteArray, code: int, later: tuple[int, ...]) -> int:
    held = np.unique(np.asarray(sides[np.isin(roles, later)]).ravel())
    if not len(held):
        return 0
    total = 0
    for start in range(0, len(sides), _CHUNK):
        chunk = np.asarray(sides[start : start + _CHUNK])
        at = np.minimum(np.searchsorted(held, chunk), len(held) - 1)
        shared = (held[at] == chunk).any(axis=1) & (roles[start : start + _CHUNK] == code)
        roles[start : start + _CHUNK][shared] = DROPPED
        total += int(shared.sum())
    return total
