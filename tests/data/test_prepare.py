"""`prepare`: every format, the same bytes every time, and dataset.json tells the truth."""

import gzip
import io
import json
import sys
import types
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqvae.data import spool
from seqvae.data.corpus import Corpus
from seqvae.data.settings import PrepareText
from seqvae.data.synthetic import sentences, write_synthetic
from seqvae.errors import UserError
from tests.data.conftest import Prepare

ROWS = sentences(120, seed=5)
TEXTS = [text for text, _, _ in ROWS]


def _texts(corpus: Corpus) -> set[str]:
    return {text for name in corpus.meta["splits"] for text in _split(corpus, name)}


def _split(corpus: Corpus, name: str) -> Iterator[str]:
    store = corpus.split(name)
    return (corpus.tokenizer.decode(store.tokens(i)) for i in range(len(store)))


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _write(folder: Path, kind: str) -> Path:
    path = folder / f"data{kind}"
    if kind == ".txt":
        path.write_bytes("\r\n".join(TEXTS).encode("utf-8-sig"))
    elif kind == ".txt.gz":
        path.write_bytes(gzip.compress("\n".join(TEXTS).encode()))
    elif kind == ".jsonl":
        path.write_text("\n".join(json.dumps({"id": i, "text": t}) for i, t in enumerate(TEXTS)))
    elif kind == ".csv":
        path.write_text("n,text\n" + "".join(f'{i},"{t}"\n' for i, t in enumerate(TEXTS)))
    elif kind == ".tsv":
        path.write_text("n\ttext\n" + "".join(f"{i}\t{t}\n" for i, t in enumerate(TEXTS)))
    else:
        pq.write_table(pa.table({"n": [*range(len(TEXTS))], "text": TEXTS}), path)
    return path


@pytest.mark.parametrize("kind", [".txt", ".txt.gz", ".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same_texts(tmp_path: Path, prepare: Prepare, kind: str) -> None:
    corpus = prepare(_write(tmp_path, kind))
    assert _texts(corpus) == set(TEXTS)
    assert corpus.meta["counts"] == {"read": 120, "kept": 120, "skipped": {}, "dropped": {}}


def test_folders_are_read_in_order(tmp_path: Path, prepare: Prepare) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_text("\n".join(TEXTS[:60]))
    (folder / "deep" / "a.tsv").write_text("text\n" + "\n".join(TEXTS[60:]))
    (folder / "README.md").write_text("not read")
    corpus = prepare(folder)
    assert _texts(corpus) == set(TEXTS)
    assert [source["name"] for source in corpus.meta["sources"]] == ["b.txt", "deep/a.tsv"]


def test_standard_input(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO("\n".join(TEXTS).encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert _texts(prepare("-")) == set(TEXTS)


def test_hub_data_sets(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, split: str, streaming: bool) -> list[dict[str, str]]:
        asked.append((name, split, streaming))
        return [{"text": text} for text in TEXTS]

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    assert _texts(prepare("hf:some/name:validation")) == set(TEXTS)
    assert asked == [("some/name", "validation", True)]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="extra `datasets`"):
        prepare("hf:some/name", out="other")


def test_pairs_and_labels(tmp_path: Path, prepare: Prepare) -> None:
    table = write_synthetic(tmp_path / "t.tsv", lines=200, pairs=True, labels=True)
    corpus = prepare(table, columns=("text", "paraphrase"), label="topic")
    assert corpus.has_pairs
    assert corpus.labels == ["harbour", "kitchen", "school", "weather"]
    expected = {text: (other, topic) for text, other, topic in sentences(200)}
    seen = 0
    for name in ("train", "valid", "test"):
        store = corpus.split(name)
        assert store.labels is not None
        for i, text in enumerate(_split(corpus, name)):
            target = store.target(i)
            assert target is not None
            pair = (corpus.tokenizer.decode(target), corpus.labels[store.labels[i]])
            assert pair == expected[text]
            assert store.bytes[i] == len(text.encode())
            assert store.words[i] == len(text.split())
            seen += 1
    assert seen == 200


def test_exploded_rows_stay_together(tmp_path: Path, prepare: Prepare) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("".join(f"{a}\t{b}\t{a} {b}\n" for a, b, _ in ROWS))
    corpus = prepare(table, columns=("1", "2", "3"), explode=True, header=False, valid=0.2)
    where = {text: name for name in ("train", "valid", "test") for text in _split(corpus, name)}
    assert len(where) == 3 * len(ROWS)
    for a, b, _ in ROWS:
        assert where[a] == where[b] == where[f"{a} {b}"]


def test_same_input_same_bytes(
    lines: Path, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_BLOCK", 1000)
    settings = {"model_type": "unigram", "shard_size": 900}
    first = prepare(lines, out="a", **settings)
    second = prepare(lines, out="b", workers=2, **settings)
    assert len(first.meta["splits"]["train"]["shards"]) > 2
    assert _content(first.path) == _content(second.path)
    assert not list(tmp_path.glob("*.partial"))
    other_seed = prepare(lines, out="c", seed=1, **settings)
    assert set(_split(other_seed, "test")) != set(_split(first, "test"))
    assert _texts(other_seed) == _texts(first)


def test_prepared_twice_does_nothing(
    lines: Path, prepare: Prepare, notices: list[str], tmp_path: Path
) -> None:
    before = prepare(lines).fingerprint
    assert prepare(lines).fingerprint == before
    assert "already prepared" in notices[-1]
    with pytest.raises(UserError, match=r"another corpus \(seed was 0, is 1\).*--overwrite"):
        prepare(lines, seed=1)
    assert Corpus.open(tmp_path / "out").fingerprint == before
    assert prepare(lines, seed=1, overwrite=True).fingerprint != before
    lines.write_text(lines.read_text() + "one more line\n")
    with pytest.raises(UserError, match="the input files differ"):
        prepare(lines, seed=1)


def test_other_folders_are_never_replaced(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("years of work")
    with pytest.raises(UserError, match="not a corpus"):
        prepare(lines, overwrite=True)
    assert (tmp_path / "out" / "thesis.doc").exists()
    (tmp_path / "out" / "thesis.doc").unlink()
    prepare(lines)


def test_duplicates_go_after_normalisation(tmp_path: Path, prepare: Prepare) -> None:
    path = tmp_path / "t.txt"
    path.write_text("\n".join([*TEXTS, *(f"  {text.replace(' ', '  ')} " for text in TEXTS)]))
    corpus = prepare(path)
    assert corpus.meta["counts"]["dropped"] == {"duplicate": 120}
    kept = prepare(path, out="kept", deduplicate=False)
    assert kept.meta["counts"]["kept"] == 240
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(_split(kept, first)) & set(_split(kept, second))


def test_files_for_the_splits(tmp_path: Path, prepare: Prepare) -> None:
    for name, texts in (
        ("train", TEXTS),
        ("valid", [*TEXTS[:9], *TEXTS[:2]]),
        ("test", TEXTS[7:20]),
    ):
        (tmp_path / f"{name}.txt").write_text("\n".join(texts))
    files = {name: str(tmp_path / f"{name}.txt") for name in ("train", "valid", "test")}
    corpus = prepare(files["train"], valid_inputs=(files["valid"],), test_inputs=(files["test"],))
    assert list(_split(corpus, "test")) == TEXTS[7:20]
    # Repeats in a held-out file stay: its likelihood is compared with others' on the same file.
    assert list(_split(corpus, "valid")) == [*TEXTS[:7], *TEXTS[:2]]
    assert list(_split(corpus, "train")) == TEXTS[20:]
    assert corpus.meta["counts"]["dropped"] == {
        "in valid and test": 2,
        "in train and a held-out split": 20,
    }


def test_held_out_share_is_bounded(lines: Path, prepare: Prepare) -> None:
    corpus = prepare(lines, valid=0.1, test=0.5 / 10, most_held_out=20)
    assert len(corpus.split("valid")) == 20
    assert len(corpus.split("test")) == 15
    nothing = prepare(lines, out="all", valid=0.0, test=0.0)
    assert len(nothing.split("train")) == 300
    with pytest.raises(UserError, match="no split 'test'; it has train"):
        nothing.split("test")


def test_a_given_tokenizer_is_used(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    first = prepare(lines, lowercase=True)
    (tmp_path / "more.txt").write_text("\n".join(text.upper() for text in TEXTS))
    second = prepare(tmp_path / "more.txt", out="second", tokenizer=first.path)
    assert second.tokenizer.sha256 == first.tokenizer.sha256
    assert _texts(second) == set(TEXTS)
    with pytest.raises(UserError, match="no such tokenizer"):
        prepare(lines, out="third", tokenizer=tmp_path / "missing.model")


def test_long_texts_are_counted(lines: Path, prepare: Prepare) -> None:
    corpus = prepare(lines, max_length=40, min_length=14)
    assert all(14 <= n <= 40 for n in corpus.split("train").lengths)
    counts = corpus.meta["counts"]
    left_out = [counts["skipped"][reason] for reason in ("too long", "too short")]
    assert all(left_out)
    assert counts["read"] == 300 == counts["kept"] + sum(left_out)
    with pytest.raises(UserError, match=r"every line of train, valid, test is .*--max-length"):
        prepare(lines, out="none", max_length=2)


def test_small_corpora_get_a_smaller_vocabulary(
    lines: Path, prepare: Prepare, notices: list[str]
) -> None:
    corpus = prepare(lines, vocab_size=30_000)
    assert corpus.tokenizer.vocab_size < 3000
    assert "not 30,000" in "".join(notices)


def test_labels_of_small_classes_stay_in_training(tmp_path: Path, prepare: Prepare) -> None:
    table = tmp_path / "t.tsv"
    rows = [f"{text}\tlabel {i}" for i, text in enumerate(TEXTS)]
    table.write_text(
        "text\tlabel\n" + "\n".join(rows + [f"{text} again\tcommon" for text in TEXTS])
    )
    corpus = prepare(table, label="label", valid=0.2, test=0.2)
    assert len(corpus.labels) == 121
    for name in ("train", "valid", "test"):
        labels = corpus.split(name).labels
        assert labels is not None
        assert name == "train" or {corpus.labels[i] for i in labels} == {"common"}


def test_unseen_labels(tmp_path: Path, prepare: Prepare) -> None:
    train, test = tmp_path / "train.tsv", tmp_path / "test.tsv"
    train.write_text("text\tlabel\n" + "".join(f"{text}\tknown\n" for text in TEXTS))
    test.write_text("text\tlabel\nthis is new\tstrange\nthis too\tknown\n")
    with pytest.raises(
        UserError, match=r"test.tsv: label 'strange' does not occur.*--unseen-labels"
    ):
        prepare(train, test_inputs=(str(test),), label="label")
    corpus = prepare(train, test_inputs=(str(test),), label="label", unseen_labels="skip")
    assert list(_split(corpus, "test")) == ["this too"]
    assert corpus.meta["counts"]["dropped"] == {"label unseen in training": 1}


def test_pairs_that_share_a_sentence_stay_together(tmp_path: Path, prepare: Prepare) -> None:
    table = tmp_path / "t.tsv"
    chain = [f"{a}\t{b}" for (a, _, _), (b, _, _) in pairwise(ROWS[:10])]
    table.write_text("a\tb\n" + "\n".join([*chain, *(f"{a}\t{b}" for a, b, _ in ROWS[10:])]))
    corpus = prepare(table, columns=("a", "b"), valid=0.2, test=0.2)
    sides = {}
    for name in ("train", "valid", "test"):
        store = corpus.split(name)
        targets = [store.target(i) for i in range(len(store))]
        sides[name] = set(_split(corpus, name)) | {
            corpus.tokenizer.decode(target) for target in targets if target is not None
        }
    assert not sides["train"] & (sides["valid"] | sides["test"])
    assert not sides["valid"] & sides["test"]


def test_settings_out_of_range() -> None:
    with pytest.raises(UserError, match=r"--valid: 0.9 is not between"):
        PrepareText(inputs=("x",), out=Path("out"), valid=0.9)
    with pytest.raises(UserError, match="--vocab-size"):
        PrepareText(inputs=("x",), out=Path("out"), vocab_size=0)
