"""Bad input: a message that says what, where and how to fix it, and nothing half-written."""

import errno
import gzip
import io
import json
import os
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqvae.data import stages
from seqvae.data.corpus import META, TOKENIZER, Corpus, fingerprint_of
from seqvae.data.lines import SkipReport, read_lines
from seqvae.data.synthetic import sentences
from seqvae.errors import UserError
from tests.data.conftest import Prepare

TEXTS = [text for text, _, _ in sentences(60)]
GOOD = "\n".join(TEXTS).encode() + b"\n"


def _skipped(corpus: Corpus) -> list[dict[str, object]]:
    return [json.loads(line) for line in (corpus.path / "skipped.jsonl").read_text().splitlines()]


def _fails(prepare: Prepare, path: Path, message: str, **settings: object) -> None:
    with pytest.raises(UserError, match=message):
        prepare(path, **settings)
    assert not (path.parent / "out").exists()
    assert not (path.parent / "out.partial").exists()


def test_missing_file(tmp_path: Path, prepare: Prepare) -> None:
    _fails(prepare, tmp_path / "none.txt", "none.txt: no such file or folder")
    with pytest.raises(UserError, match="no input"):
        prepare()
    (tmp_path / "empty folder").mkdir()
    _fails(prepare, tmp_path / "empty folder", "no file in this folder has a known suffix")


@pytest.mark.parametrize("content", [b"", b"\n\n  \n \t\n"])
def test_empty_file(tmp_path: Path, prepare: Prepare, content: bytes) -> None:
    path = tmp_path / "e.txt"
    path.write_bytes(content)
    _fails(prepare, path, r"no usable line .*empty|the file is empty")


@pytest.mark.parametrize("content", [b"just one line", b"same\nsame\nsame\n", b"one\ntwo\n"])
def test_one_line(tmp_path: Path, prepare: Prepare, content: bytes) -> None:
    path = tmp_path / "one.txt"
    path.write_bytes(content)
    _fails(prepare, path, "nothing for valid and test.*--valid 0 --test 0")
    assert len(prepare(path, valid=0.0, test=0.0).split("train")) >= 1


def test_invalid_utf8_lines_are_skipped_and_named(
    tmp_path: Path, prepare: Prepare, notices: list[str]
) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(GOOD + "caf\xe9 au lait\n".encode("latin-1") + b"the end\n")
    corpus = prepare(path)
    assert corpus.meta["counts"]["skipped"] == {"invalid UTF-8": 1}
    assert _skipped(corpus) == [{"source": "latin.txt", "line": 61, "reason": "invalid UTF-8"}]
    assert notices[0] == "1 skipped: invalid UTF-8"


def test_nul_bytes(tmp_path: Path, prepare: Prepare) -> None:
    path = tmp_path / "nul.txt"
    path.write_bytes(b"a\0b\n" + GOOD)
    corpus = prepare(path)
    assert _skipped(corpus) == [{"source": "nul.txt", "line": 1, "reason": "NUL byte"}]
    assert corpus.meta["counts"]["kept"] == 60


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_10_mb_line(tmp_path: Path, prepare: Prepare, end: bytes) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(GOOD + b"word " * 2_000_000 + end + (GOOD if end else b""))
    corpus = prepare(path, deduplicate=False)
    assert _skipped(corpus) == [{"source": "long.txt", "line": 61, "reason": "line too long"}]
    assert corpus.meta["counts"]["kept"] == (120 if end else 60)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)) * 50, "looks like a binary file"),
        (os.urandom(4096).replace(b"\x1f\x8b", b""), "looks like a binary file"),
        (gzip.compress(GOOD), "gzip: name it .gz"),
        (b"PK\x03\x04" + GOOD, "zip archive"),
        ("text".encode("utf-16"), "UTF-16: convert it"),
        ("text and more text".encode("utf-16-le") * 9, "looks like a binary file"),
    ],
)
def test_binary_files_are_refused(
    tmp_path: Path, prepare: Prepare, content: bytes, message: str
) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(content)
    _fails(prepare, path, f"b.txt: .*{message}")


def test_damaged_gzip_and_parquet(tmp_path: Path, prepare: Prepare) -> None:
    whole = gzip.compress(GOOD)
    for content in (whole[: len(whole) // 2], b"plain text\n" * 9, whole[:20] + b"\xff" * 50):
        (tmp_path / "d.txt.gz").write_bytes(content)
        _fails(prepare, tmp_path / "d.txt.gz", "damaged gzip file")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 not really PAR1")
    _fails(prepare, tmp_path / "d.parquet", "not a readable parquet file")


def test_wrong_columns_list_what_there_is(tmp_path: Path, prepare: Prepare) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,body,kind\n" + "".join(f"{i},{t},x\n" for i, t in enumerate(TEXTS)))
    have = "'id', 'body', 'kind'"
    _fails(prepare, table, f"no column 'txt'; there are {have}", columns=("txt",))
    _fails(prepare, table, f"no column 'topic'; there are {have}", columns=("body",), label="topic")
    _fails(prepare, table, f"which column is the text.*{have}")
    _fails(prepare, table, "no column 'body'.*numbered from 1", columns=("body",), header=False)
    _fails(prepare, table, "more need --explode", columns=("id", "body", "kind"))
    assert prepare(table, columns=("body",)).meta["counts"]["kept"] == 60
    lines = tmp_path / "t.txt"
    lines.write_bytes(GOOD)
    with pytest.raises(UserError, match="plain text has no columns"):
        prepare(lines, out="other", columns=("body",))


def test_wrong_json_and_parquet_columns(tmp_path: Path, prepare: Prepare) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"a": t, "b": 1}) for t in TEXTS))
    _fails(prepare, path, "t.jsonl, line 1: no column 'text'|which column is the text.*'a', 'b'")
    _fails(prepare, path, "no usable line.*60 not text", field="b")
    table = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": [1, 2]}), table)
    _fails(prepare, table, "column 'text' holds int64, not text")


def test_bad_rows_are_skipped_and_counted(tmp_path: Path, prepare: Prepare) -> None:
    path = tmp_path / "t.jsonl"
    bad = [
        "{broken",
        "[1]",
        '{"other": 1}',
        '{"text": 5}',
        '{"text": "\\ud800"}',
        '{"text": "a\\u0000"}',
    ]
    good = [json.dumps({"text": f"{t}\nnext"}) for t in TEXTS]
    path.write_text("\n".join([good[0], "[" * 100_000, *bad, *good[1:]]))
    corpus = prepare(path)
    assert corpus.meta["counts"]["skipped"] == {
        "NUL byte": 1,
        "invalid JSON": 2,
        "invalid Unicode": 1,
        "no text": 1,
        "not a JSON object": 1,
        "not text": 1,
    }
    assert corpus.tokenizer.decode(corpus.split("train").tokens(0)).endswith(" next")
    table = tmp_path / "t.tsv"
    table.write_text("text\tlabel\n" + "".join(f"{t}\tx\n" for t in TEXTS) + "short\nno label\t\n")
    skipped = prepare(table, out="tsv", label="label").meta["counts"]["skipped"]
    assert skipped == {"no label": 1, "too few columns": 1}


def test_an_open_quote_does_not_swallow_the_file(tmp_path: Path, prepare: Prepare) -> None:
    path = tmp_path / "q.csv"
    path.write_text('text\n"never closed\n' + "word\n" * 300_000)
    _fails(prepare, path, "q.csv, line .*is a quote left open")


def test_only_some_skipped_lines_are_listed() -> None:
    report = SkipReport()
    stream = io.BytesIO(b"text\n" * 20_000 + b"\xff\n" * 3000)
    assert sum(len(lines) for _, lines in read_lines(stream, "x", report, 100)) == 23_000
    assert report.counts == {"invalid UTF-8": 3000}
    assert len(report.entries) == 1000


@pytest.mark.parametrize("stage", ["_read", "_split", "_train", "_encode"])
def test_a_full_disk_leaves_nothing(
    lines: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    real = getattr(stages.Stages, stage)

    def full(self: stages.Stages) -> NoReturn:
        real(self)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(stages.Stages, stage, full)
        with pytest.raises(UserError, match=r"the disk is full.*nothing was kept"):
            prepare(lines)
    assert [path.name for path in tmp_path.iterdir()] == ["lines.txt"]
    prepare(lines)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_no_write_permission(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(UserError, match="no permission to write"):
        prepare(lines, out="closed/out")


def test_refused_writes_are_explained(
    lines: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"out\.partial: no permission to write"):
        prepare(lines)


def test_a_file_in_the_way(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="a file is in the way"):
        prepare(lines)
    with pytest.raises(UserError, match="not a folder"):
        prepare(lines, out="lines.txt/out")


def test_broken_corpora_are_refused(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    path = prepare(lines).path
    meta = (path / META).read_bytes()
    shard = path / "train-00000.arrow"
    good = shard.read_bytes()
    with pytest.raises(UserError, match="no prepared corpus here"):
        Corpus.open(tmp_path)
    for content, message in (
        (meta[:50], "not valid JSON"),
        (b"[]", "not a seqvae text corpus"),
        (meta.replace(b'"version": 1', b'"version": 99'), "format version 99"),
        (meta.replace(b'"pairs": false', b'"pairs": true'), "edited since"),
    ):
        (path / META).write_bytes(content)
        with pytest.raises(UserError, match=message):
            Corpus.open(path)
    escape = json.loads(meta)
    escape["splits"]["train"]["shards"][0]["name"] = "../lines.txt"
    escape["fingerprint"] = fingerprint_of(escape)
    (path / META).write_text(json.dumps(escape))
    with pytest.raises(UserError, match="must lie in the corpus folder"):
        Corpus.open(path)
    (path / META).write_bytes(meta)
    for content, message in (
        (good[:-9], "bytes instead of"),
        (good[:-20] + b"x" + good[-19:], "differs from its hash"),
    ):
        shard.write_bytes(content)
        with pytest.raises(UserError, match=message):
            Corpus.open(path)
    shard.write_bytes(good)
    Corpus.open(path)
    (path / TOKENIZER).write_bytes(b"")
    with pytest.raises(UserError, match=r"tokenizer.model: changed"):
        Corpus.open(path)
