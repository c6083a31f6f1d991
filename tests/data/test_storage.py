"""Shards return what was written, and damaged ones are refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.shards import Encoded, ShardWriter
from seqvae.data.storage import SequenceStore, encode_shard
from seqvae.errors import UserError

SEQUENCES = st.lists(
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9), min_size=1, max_size=30
)


def _write(folder: Path, ids: list[list[int]], shard_size: int, longest: int = 99) -> ShardWriter:
    writer = ShardWriter(folder, "train", shard_size=shard_size, shortest=1, longest=longest)
    for start in range(0, len(ids), 4):
        part = ids[start : start + 4]
        numbers = np.arange(start, start + len(part), dtype=np.int32)
        writer.add(
            Encoded(
                part, bytes=numbers, words=numbers, targets=[i[::-1] for i in part], labels=numbers
            )
        )
    writer.flush()
    return writer


@given(SEQUENCES, st.sampled_from([1, 20, 1000]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, ids: list[list[int]], shard_size: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    totals = _write(folder, ids, shard_size).totals
    store = SequenceStore([folder / shard["name"] for shard in totals.shards])
    assert [store.tokens(i).tolist() for i in range(len(store))] == ids
    assert store.lengths.tolist() == list(map(len, ids))
    assert store.labels is not None
    assert (
        store.labels.tolist() == store.words.tolist() == store.bytes.tolist() == [*range(len(ids))]
    )
    target = store.target(len(ids) - 1)
    assert target is not None
    assert target.tolist() == ids[-1][::-1]
    indices = np.random.default_rng(0).permutation(len(ids))
    rows = np.full((len(ids), 12), -1, np.int64)
    store.copy_rows(indices, rows, first=2)
    for row, index in zip(rows, indices, strict=True):
        assert row[2 : 2 + len(ids[index])].tolist() == ids[index]
        assert set(row[:2]) | set(row[2 + len(ids[index]) :]) == {-1}


def test_views_cannot_be_written(tmp_path: Path) -> None:
    shards = _write(tmp_path, [[1, 2]], 10).totals.shards
    with pytest.raises(ValueError, match="read-only"):
        SequenceStore([tmp_path / shards[0]["name"]]).tokens(0)[0] = 5


def test_long_sequences_are_left_out_and_counted(tmp_path: Path) -> None:
    totals = _write(tmp_path, [[1], [1] * 5, [2, 2]], 10, longest=4).totals
    assert (totals.sequences, totals.too_long, totals.tokens) == (2, 1, 3)


def _shard(tmp_path: Path, **columns: pa.Array) -> Path:
    path = tmp_path / "shard.arrow"
    batch = pa.record_batch(columns)
    with pa.ipc.new_file(str(path), batch.schema) as writer:
        writer.write_batch(batch)
    return path


def test_truncated_and_foreign_shards_are_refused(tmp_path: Path) -> None:
    numbers = np.arange(3, dtype=np.int32)
    whole = bytes(
        encode_shard({"ids": (numbers, numbers[1:2].repeat(3)), "bytes": numbers, "words": numbers})
    )
    for size in (0, 7, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.arrow").write_bytes(whole[:size])
        with pytest.raises(UserError, match="cannot read the shard"):
            SequenceStore([tmp_path / "cut.arrow"])
    with pytest.raises(UserError, match="not a shard of this version"):
        SequenceStore([_shard(tmp_path, ids=pa.array([1, 2]))])
    with pytest.raises(UserError, match="cannot read the shard"):
        SequenceStore([tmp_path / "missing.arrow"])


@pytest.mark.parametrize("offsets", [[0, 1, 90], [0, 5, 3], [-4, 1, 3], [0, 1, -3]])
def test_offsets_outside_the_values_are_refused(tmp_path: Path, offsets: list[int]) -> None:
    numbers = np.full(2, 77, np.int32)
    lengths = np.array([1, 2], np.int32)
    whole = bytes(
        encode_shard(
            {"ids": (np.full(3, 9, np.int32), lengths), "bytes": numbers, "words": numbers}
        )
    )
    right = np.array([0, 1, 3], np.int32).tobytes()
    assert whole.count(right) == 1
    path = tmp_path / "tampered.arrow"
    path.write_bytes(whole.replace(right, np.array(offsets, np.int32).tobytes()))
    with pytest.raises(UserError, match=r"damaged|cannot read the shard"):
        SequenceStore([path])
