"""Laws of the split, on hashes alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data import split
from seqvae.data.split import DROPPED, TEST, TRAIN, VALID, SplitRules, assign_splits
from seqvae.data.spool import Spool, SpoolWriter, hash_texts

RULES = SplitRules(valid=0.1, test=0.1, most=50, deduplicate=True, seed=0)


def _spool(folder: Path, texts: list[str], targets: list[str] | None = None) -> Spool:
    with SpoolWriter(folder, pairs=targets is not None, labels=False, groups=False) as writer:
        writer.append(texts, targets, None, None)
    return Spool(folder, pairs=targets is not None)


@given(st.lists(st.integers(0, 40).map(str), min_size=5, max_size=80), st.booleans(), st.data())
def test_no_text_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    deduplicate: bool,
    data: st.DataObject,
) -> None:
    spool = _spool(tmp_path_factory.mktemp("spool"), texts)
    given_roles = data.draw(
        st.lists(
            st.sampled_from([TRAIN, TRAIN, VALID, TEST]), min_size=len(texts), max_size=len(texts)
        )
    )
    roles = np.array(given_roles, np.uint8)
    dropped = assign_splits(spool, roles, SplitRules(0.2, 0.2, 10, deduplicate, 1))
    sides = [
        {t for t, r in zip(texts, roles, strict=True) if r == code} for code in (TRAIN, VALID, TEST)
    ]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert sum(dropped.values()) == int((roles == DROPPED).sum())
    assert set().union(*sides) == set(texts)


@pytest.mark.parametrize("partition", [1 << 24, 16])
def test_the_first_of_repeats_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partition: int
) -> None:
    monkeypatch.setattr(split, "_PARTITION", partition)
    monkeypatch.setattr(split, "_CHUNK", 7)
    texts = [str(i % 30) for i in range(90)]
    roles = np.full(90, TRAIN, np.uint8)
    assert assign_splits(_spool(tmp_path, texts), roles, RULES)["duplicate"] == 60
    assert (roles[30:] == DROPPED).all()
    assert (roles[:30] != DROPPED).all()


def test_shares_and_bound(tmp_path: Path) -> None:
    spool = _spool(tmp_path, [str(i) for i in range(1000)])
    roles = np.full(1000, TRAIN, np.uint8)
    assign_splits(spool, roles, RULES)
    assert np.bincount(roles).tolist() == [0, 900, 50, 50]


def test_most_texts_keep_their_split_when_the_corpus_grows(tmp_path: Path) -> None:
    texts = [str(i) for i in range(2000)]
    roles = np.full(2000, TRAIN, np.uint8)
    assign_splits(_spool(tmp_path, texts), roles, RULES)
    more = np.full(2020, TRAIN, np.uint8)
    assign_splits(_spool(tmp_path, ["new" + t for t in texts[:20]] + texts), more, RULES)
    assert (roles != more[20:]).sum() <= 20


def test_a_chain_of_pairs_stays_together(tmp_path: Path) -> None:
    left = [*(f"c{i}" for i in range(30)), *(f"a{i}" for i in range(300))]
    right = [*(f"c{i + 1}" for i in range(30)), *(f"b{i}" for i in range(300))]
    for seed in range(5):
        roles = np.full(330, TRAIN, np.uint8)
        rules = SplitRules(0.2, 0.2, 100, True, seed)
        assign_splits(_spool(tmp_path, left, right), roles, rules)
        assert len(set(roles[:30])) == 1
        assert {TRAIN, VALID, TEST} <= set(roles)


def test_hashes_are_the_same_everywhere() -> None:
    assert [hex(h) for h in hash_texts([b"", b"a"])] == ["0xb4b2797457a0a6e4", "0x2f42665b399ef840"]
