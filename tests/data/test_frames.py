"""Files of frames become a corpus; what is wrong with them is said by name."""

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from seqvae.cli import main
from seqvae.data.folder import modality_of
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.digits import PrepareDigits, prepare_digits
from seqvae.data.frames.inputs import read_sequences
from seqvae.data.frames.loader import FramesLoader
from seqvae.data.frames.moments import Moments
from seqvae.data.frames.prepare import PrepareFrames, prepare_frames
from seqvae.errors import UserError


def waves(count: int = 60, steps: int = 7, features: int = 3, seed: int = 0) -> Any:  # noqa: ANN401
    return np.random.default_rng(seed).normal(2.0, 3.0, (count, steps, features))


@pytest.fixture
def array(tmp_path: Path) -> Path:
    path = tmp_path / "waves.npy"
    np.save(path, waves())
    return path


def prepared(tmp_path: Path, *inputs: Path, **settings: Any) -> FramesCorpus:  # noqa: ANN401
    config = PrepareFrames(inputs=inputs, out=tmp_path / "corpus", **settings)
    return prepare_frames(config, say=lambda notice: None)


def all_sequences(corpus: FramesCorpus) -> dict[int, Any]:
    """By their place in the input."""
    found: dict[int, Any] = {}
    for name in ("train", "valid", "test"):
        store = corpus.split(name)
        found |= {int(store.items[i]): store.sequence(i) for i in range(len(store))}
    return found


def test_an_array_comes_back_sequence_by_sequence(tmp_path: Path, array: Path) -> None:
    corpus = prepared(tmp_path, array)
    assert modality_of(corpus.path) == "frames"
    found = all_sequences(corpus)
    assert sorted(found) == list(range(60))
    for item, values in enumerate(waves().astype(np.float32)):
        np.testing.assert_array_equal(found[item], values)
    train = np.concatenate(
        [corpus.split("train").sequence(i) for i in range(len(corpus.split("train")))]
    )
    np.testing.assert_allclose(corpus.mean, train.mean(0), rtol=1e-5)
    np.testing.assert_allclose(corpus.std, train.std(0), rtol=1e-5)
    assert len(corpus.split("valid")) and len(corpus.split("test"))


def test_the_same_input_gives_the_same_bytes_and_is_not_prepared_twice(
    tmp_path: Path, array: Path
) -> None:
    first = prepared(tmp_path, array)
    said: list[str] = []
    prepare_frames(PrepareFrames(inputs=(array,), out=first.path), said.append)
    assert "already prepared" in said[0]
    other = PrepareFrames(inputs=(array,), out=tmp_path / "other")
    assert prepare_frames(other).fingerprint == first.fingerprint
    with pytest.raises(UserError, match=r"seed was 0, is 1.*--overwrite"):
        prepare_frames(PrepareFrames(inputs=(array,), out=first.path, seed=1))
    again = prepare_frames(PrepareFrames(inputs=(array,), out=first.path, seed=1, overwrite=True))
    assert again.fingerprint != first.fingerprint


def test_lengths_may_vary_and_batches_are_padded(tmp_path: Path) -> None:
    lengths = np.array([3, 1, 5, 2] * 8)
    values = np.arange(lengths.sum() * 2, dtype=np.float32).reshape(-1, 2)
    labels = np.array(["b", "a", "b", "c"] * 8)
    np.savez(tmp_path / "ragged.npz", values=values, lengths=lengths, labels=labels)
    corpus = prepared(tmp_path, tmp_path / "ragged.npz", valid=0.0, test=0.0)
    store = corpus.split("train")
    assert corpus.labels == ["a", "b", "c"] and corpus.longest == 5
    batch, sizes = store.padded(np.array([0, 2, 1]))
    assert batch.shape == (3, 5, 2) and sizes.tolist() == [3, 5, 1]
    np.testing.assert_array_equal(batch[1], values[4:9])
    assert (batch[2, 1:] == 0).all()
    assert [corpus.labels[label] for label in store.labels[:4]] == ["b", "a", "b", "c"]


def test_what_cannot_be_used_is_counted_and_listed(tmp_path: Path) -> None:
    values = waves()
    values[3, 2, 1], values[5, 0, 0], values[6, 0, 0] = np.nan, np.inf, 1e300
    lengths = np.full(60, 7)
    lengths[8] = 0
    np.savez(tmp_path / "bad.npz", values=values, lengths=lengths)
    corpus = prepared(tmp_path, tmp_path / "bad.npz")
    assert corpus.meta["skipped"] == {"a number is missing or not finite": 3, "no frames": 1}
    listed = (corpus.path / "skipped.jsonl").read_text(encoding="utf-8")
    assert '"sequence": 3,' in listed and len(listed.splitlines()) == 4
    assert sorted(all_sequences(corpus)) == sorted(set(range(60)) - {3, 5, 6, 8})
    with pytest.raises(UserError, match="no sequence to train on is left"):
        prepared(tmp_path, tmp_path / "bad.npz", max_length=2, overwrite=True)
    assert FramesCorpus.open(corpus.path).fingerprint == corpus.fingerprint


def test_equal_sequences_stay_in_one_split_and_unseen_labels_in_the_test(tmp_path: Path) -> None:
    values = np.repeat(waves(20), 5, 0)
    np.savez(tmp_path / "five.npz", values=values, labels=np.arange(100) // 5)
    corpus = prepared(tmp_path, tmp_path / "five.npz", valid=0.2, test=0.2, unseen=("7",))
    where: dict[int, set[str]] = {}
    for name in ("train", "valid", "test"):
        for item in corpus.split(name).items.tolist():
            where.setdefault(item // 5, set()).add(name)
    assert all(len(names) == 1 for names in where.values())
    assert where[7] == {"test"} and corpus.labels == [str(i) for i in range(20)]
    with pytest.raises(UserError, match="--unseen nine: no such label"):
        prepared(tmp_path, tmp_path / "five.npz", unseen=("nine",), overwrite=True)


def test_numbers_are_divided_and_made_binary(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", np.arange(60 * 12).reshape(60, 3, 4) % 256)
    grey = prepared(tmp_path, tmp_path / "grey.npy", divide=255.0)
    assert (grey.least, grey.greatest) == (0.0, 1.0)
    binary = prepared(tmp_path, tmp_path / "grey.npy", divide=255.0, binarise=0.5, overwrite=True)
    found = np.concatenate(list(all_sequences(binary).values()))
    assert set(np.unique(found)) == {0.0, 1.0}


def test_tables_are_rows_of_frames_or_series(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("id,x,y,kind\na,1,2,p\na,3,4,p\nb,5,,q\n", encoding="utf-8")
    long = read_sequences(tmp_path / "long.csv", series="id", label="kind")
    assert long.lengths.tolist() == [2, 1] and long.labels == ["p", "q"]
    np.testing.assert_array_equal(long.values, [[1, 2], [3, 4], [5, np.nan]])
    table = pa.table({"label": [1, 2], "t0": [0.5, 1.5], "t1": [2.5, 3.5], "t2": [4.5, 5.5]})
    parquet.write_table(table, tmp_path / "wide.parquet")
    wide = read_sequences(tmp_path / "wide.parquet", label="label")
    assert wide.lengths.tolist() == [3, 3] and wide.labels == ["1", "2"]
    np.testing.assert_array_equal(wide.values[:3, 0], [0.5, 2.5, 4.5])
    (tmp_path / "mixed.csv").write_text("id,x\na,1\nb,2\na,3\n", encoding="utf-8")
    with pytest.raises(UserError, match="'a' do not stand together"):
        read_sequences(tmp_path / "mixed.csv", series="id")


def idx(path: Path, values: Any) -> Path:  # noqa: ANN401
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    content = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_mnist_files_are_read_by_their_format(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4))
    pictures = idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    names = idx(tmp_path / "train-labels-idx1-ubyte", np.arange(50) % 10)
    config = PrepareDigits(out=tmp_path / "mnist", images=pictures, labels=names)
    corpus = prepare_digits(config)
    assert corpus.labels == [str(i) for i in range(10)] and corpus.greatest <= 1.0
    np.testing.assert_allclose(all_sequences(corpus)[7], images[7] / 255.0, rtol=1e-6)
    cut = tmp_path / "cut-ubyte"
    cut.write_bytes((tmp_path / "train-labels-idx1-ubyte").read_bytes()[:-3])
    with pytest.raises(UserError, match="damaged: 47 bytes instead of 50"):
        prepare_digits(replace(config, labels=cut, overwrite=True))


def test_scikit_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert main(["prepare", "digits", str(tmp_path / "digits"), "--unseen", "9"]) == 0
    assert "8 frames of 8, from 0 to 1, 10 labels" in capsys.readouterr().out
    corpus = FramesCorpus.open(tmp_path / "digits")
    assert sum(entry["sequences"] for entry in corpus.meta["splits"].values()) == 1797
    assert 9 not in corpus.split("train").labels


BAD: list[tuple[str, Any, str]] = [
    ("words.npy", np.array(["a", "b"]), "not numbers"),
    ("flat.npy", np.zeros(5), "values of shape"),
    ("wide.npy", np.zeros((2, 2, 5000)), "5000 features"),
    ("objects.npy", np.array([{}, 1], dtype=object), "not an array of numbers"),
    ("empty.npy", np.zeros((0, 3, 2)), "no sequence to train on"),
]


@pytest.mark.parametrize(("name", "values", "words"), BAD, ids=[name for name, _, _ in BAD])
def test_what_is_no_frames_is_refused_by_name(
    tmp_path: Path,
    name: str,
    values: Any,  # noqa: ANN401
    words: str,
) -> None:
    np.save(tmp_path / name, values, allow_pickle=True)
    with pytest.raises(UserError, match=words):
        prepared(tmp_path, tmp_path / name)
    assert not (tmp_path / "corpus").exists() and not (tmp_path / "corpus.partial").exists()


def test_mistakes_are_named(tmp_path: Path, array: Path) -> None:
    np.save(tmp_path / "labels.npy", np.zeros(3))
    np.save(tmp_path / "narrow.npy", waves(features=2))
    np.savez(tmp_path / "none.npz", x=waves())
    (tmp_path / "x.bin").write_bytes(b"1")
    for name, words in (
        ("gone.npy", "gone.npy: no such file"),
        ("x.bin", "unknown kind of file"),
        ("none.npz", "no array 'values' in it, only x"),
        ("narrow.npy", "narrow.npy has 2 features a frame, waves.npy 3"),
    ):
        with pytest.raises(UserError, match=words):
            prepared(tmp_path, array, tmp_path / name)
    with pytest.raises(UserError, match="there are 60 sequences"):
        prepared(tmp_path, array, labels=(tmp_path / "labels.npy",))
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"divide": 0.0}, "--divide"),
        ({"valid": 0.6, "test": 0.5}, "--valid 0.6"),
        ({"max_length": 0}, "--max-length"),
    ]
    for settings, words in mistakes:
        with pytest.raises(UserError, match=words):
            PrepareFrames(inputs=(array,), **settings)


def test_a_damaged_corpus_is_noticed(tmp_path: Path, array: Path) -> None:
    corpus = prepared(tmp_path, array)
    shard = corpus.path / "train-00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match="content differs from its hash"):
        FramesCorpus.open(corpus.path)
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match="prepare the corpus again"):
        FramesCorpus.open(corpus.path)


def test_an_epoch_has_each_sequence_once_over_all_ranks(tmp_path: Path, array: Path) -> None:
    store = prepared(tmp_path, array, valid=0.0, test=0.0).split("train")
    loaders = [FramesLoader(store, batch=10, seed=3, rank=r, world=2) for r in (0, 1)]
    assert loaders[0].steps_per_epoch == 3
    epochs = [
        np.concatenate([loader.next_indices() for _ in range(3) for loader in loaders])
        for _ in range(2)
    ]
    assert all(sorted(epoch) == list(range(60)) for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()
    again = FramesLoader(store, batch=10, seed=3, rank=1, world=2)
    again.load_state({**loaders[1].state(), "step": 4})
    straight = FramesLoader(store, batch=10, seed=3, rank=1, world=2)
    expected = [straight.next_indices() for _ in range(5)][-1]
    np.testing.assert_array_equal(again.next_indices(), expected)
    with pytest.raises(UserError, match="batch was 10 and is now 20"):
        FramesLoader(store, batch=20, seed=3).load_state(loaders[0].state())


def test_moments_are_those_of_all_frames_together() -> None:
    values = np.random.default_rng(0).normal(1e3, [1.0, 2.0, 0.0], (50, 3))
    moments = Moments(3)
    for part in np.split(values, [0, 1, 30]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, values.mean(0))
    deviation = moments.deviation()
    np.testing.assert_allclose(deviation[:2], values[:, :2].std(0))
    # A feature that never varies takes the deviation of all.
    np.testing.assert_allclose(deviation[2], values.std(), rtol=1e-3)
