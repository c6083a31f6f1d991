"""A corpus that is damaged, edited or of another kind is refused, whatever is wrong with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seqvae.data.corpus import Corpus
from seqvae.data.folder import fingerprint_of, modality_of
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from seqvae.data.speech.store import INDEX, read_batches, schema_of
from seqvae.data.storage import file_sha256
from seqvae.errors import UserError


@pytest.fixture(scope="module")
def made(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    config = PrepareSpeech((str(voices),), out, valid=0, test=0, workers=1)
    return prepare_speech(config, say=lambda notice: None).path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change dataset.json as somebody would who can compute fingerprints."""
    path = folder / "dataset.json"
    meta = json.loads(path.read_text())
    change(meta)
    meta["fingerprint"] = fingerprint_of(meta)
    path.write_text(json.dumps(meta))


def replaced(folder: Path, name: str) -> None:
    """Make dataset.json believe in a file that was changed."""
    path = folder / name
    described = {"name": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}

    def change(meta: dict[str, Any]) -> None:
        if name == "train.arrow":
            meta["splits"]["train"]["index"] = described
        else:
            meta["shards"][0] = described

    edit(folder, change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no prepared corpus here"),
        (b"{", "not valid JSON"),
        (b"[]", "not a seqvae speech corpus"),
        (b'{"format": "seqvae-text-corpus"}', "a corpus of text, this needs one of speech"),
        (b'{"format": "seqvae-speech-corpus", "version": 7}', "version 7, this seqvae reads 1"),
        (b'{"format": "seqvae-speech-corpus", "version": 1}', "edited since"),
    ],
)
def test_dataset_json(copy: Path, content: bytes | None, message: str) -> None:
    path = copy / "dataset.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        SpeechCorpus.open(copy)


def test_kinds_are_told_apart(made: Path, tmp_path: Path) -> None:
    assert modality_of(made) == "speech"
    with pytest.raises(UserError, match="a corpus of speech, this needs one of text"):
        Corpus.open(made)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="not a seqvae corpus"):
        modality_of(tmp_path)
    with pytest.raises(UserError, match="no prepared corpus here"):
        modality_of(tmp_path / "absent")


@pytest.mark.parametrize("name", ["sound-00000.arrow", "train.arrow"])
def test_files_that_changed(copy: Path, name: str) -> None:
    path = copy / name
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    with pytest.raises(UserError, match=rf"{name}: {len(good) - 9} bytes instead of {len(good)}"):
        SpeechCorpus.open(copy)
    path.write_bytes(good[:-9] + bytes(9))
    with pytest.raises(UserError, match="content differs from its hash"):
        SpeechCorpus.open(copy)
    path.unlink()
    with pytest.raises(UserError, match=rf"{name}: missing"):
        SpeechCorpus.open(copy)


@pytest.mark.parametrize("where", ["shards", "splits"])
def test_no_path_leaves_the_folder(copy: Path, where: str) -> None:
    def change(meta: dict[str, Any]) -> None:
        entry = meta["shards"][0] if where == "shards" else meta["splits"]["train"]["index"]
        entry["name"] = f"../copy/{entry['name']}"

    edit(copy, change)
    with pytest.raises(UserError, match="must lie in the corpus folder itself"):
        SpeechCorpus.open(copy)


def index_of(folder: Path) -> dict[str, list[Any]]:
    (batch,) = read_batches(folder / "train.arrow", INDEX)
    columns: dict[str, list[Any]] = pa.Table.from_batches([batch]).to_pydict()
    return columns


def write_index(folder: Path, columns: dict[str, list[Any]], batches: int = 1) -> None:
    schema = schema_of({name: INDEX[name] for name in columns})
    with pa.ipc.new_file(str(folder / "train.arrow"), schema) as writer:
        for _ in range(batches):
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=schema))
    replaced(folder, "train.arrow")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("shard", 5, "damaged"),
        ("shard", -1, "damaged"),
        ("frames", -3, "damaged"),
        ("row", 99, "damaged"),
        ("row", -1, "damaged"),
        ("frames", 3, "damaged"),
        ("frames", 1 << 30, "damaged"),
        ("name", None, "not a file of this version"),
    ],
)
def test_an_index_that_lies(copy: Path, column: str, value: object, message: str) -> None:
    columns = index_of(copy)
    columns[column][0] = value
    write_index(copy, columns)
    with pytest.raises(UserError, match=message):
        SpeechCorpus.open(copy).split("train").audio(0)


def test_an_index_of_another_shape(copy: Path) -> None:
    columns = index_of(copy)
    write_index(copy, columns, batches=2)
    with pytest.raises(UserError, match="2 record batches instead of 1"):
        SpeechCorpus.open(copy).split("train")
    del columns["gain"]
    write_index(copy, columns)
    with pytest.raises(UserError, match="not a file of this version"):
        SpeechCorpus.open(copy).split("train")
    (copy / "train.arrow").write_bytes(b"ARROW1 it was")
    replaced(copy, "train.arrow")
    with pytest.raises(UserError, match="cannot read it"):
        SpeechCorpus.open(copy).split("train")


@pytest.mark.parametrize(("place", "value"), [(-1, 1 << 30), (0, 5), (0, -4), (3, 1 << 30)])
@pytest.mark.parametrize("column", ["audio", "mel", "pitch"])
def test_a_shard_whose_offsets_lie(copy: Path, column: str, place: int, value: int) -> None:
    path = copy / "sound-00000.arrow"
    kinds = {"audio": "list<int16>", "mel": "list<float16>", "pitch": "list<float32>"}
    offsets = read_batches(path, kinds)[0].column(column).offsets.to_numpy()
    lie = offsets.copy()
    lie[place] = value
    data = path.read_bytes()
    assert offsets.tobytes() in data
    path.unlink()
    path.write_bytes(data.replace(offsets.tobytes(), lie.tobytes()))
    replaced(copy, path.name)
    store = SpeechCorpus.open(copy).split("train")
    read = {"audio": store.audio, "mel": store.mel, "pitch": store.pitch}[column]
    with pytest.raises(UserError, match="prepare"):
        read(0)


def test_large_corpora_are_checked_by_size(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy / "sound-00000.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr("seqvae.data.folder._ALWAYS_VERIFY", 1000)
    assert len(SpeechCorpus.open(copy).split("train")) == 12
    with pytest.raises(UserError, match="content differs from its hash"):
        SpeechCorpus.open(copy, verify=True)
