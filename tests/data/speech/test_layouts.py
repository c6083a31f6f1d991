"""Recordings are found in the layouts people have them in, with the right speaker and text."""

import json
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.data.speech.layouts import LAYOUTS, LayoutName, find_takes
from seqvae.data.speech.records import SpeechReport, Take
from seqvae.errors import UserError


class Search:
    """Looks for recordings and keeps what was said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = SpeechReport()
        self.notices: list[str] = []

    def __call__(
        self, *inputs: str | Path, layout: LayoutName = "auto", texts: Path | None = None
    ) -> list[tuple[str, str, str]]:
        """Name, speaker and text of each."""
        takes = self.takes(*inputs, layout=layout, texts=texts)
        return [(take.name, take.speaker, take.text) for take in takes]

    def takes(
        self, *inputs: str | Path, layout: LayoutName = "auto", texts: Path | None = None
    ) -> list[Take]:
        return find_takes(
            [str(given) for given in inputs],
            layout,
            texts,
            self.report,
            self._keep,
            self.notices.append,
        )

    def _keep(self, data: bytes) -> Path:
        path = self.folder / f"kept-{len(list(self.folder.glob('kept-*')))}"
        path.write_bytes(data)
        return path


@pytest.fixture
def search(tmp_path: Path) -> Search:
    folder = tmp_path / "kept"
    folder.mkdir()
    return Search(folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


def put(root: Path, *names: str) -> None:
    """Files that look like sounds: layouts go by names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"RIFF")


def say(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def test_a_folder_for_each_speaker(root: Path, search: Search) -> None:
    put(root, "ben/x/b.FLAC", "ben/a.mp3", "anna/a.wav", ".git/c/d.wav", "anna/.hidden.wav")
    say(root, "anna/a.txt", " two\n words ")
    say(root, "ben/a.lab", "three")
    say(root, "anna/notes.pdf", "")
    assert search(root) == [
        ("anna/a.wav", "anna", "two words"),
        ("ben/a.mp3", "ben", "three"),
        ("ben/x/b.FLAC", "ben", ""),
    ]
    assert search.notices == [f"{root}: layout folder, 3 recordings of 2 speakers, 2 with text"]


def test_folders_that_say_nothing_of_who_speaks(root: Path, search: Search) -> None:
    put(root, "train/ben/wav/a.wav", "test/ben/b.wav", "wavs/c.wav", "d.wav")
    assert {(name, speaker) for name, speaker, _ in search(root)} == {
        ("train/ben/wav/a.wav", "ben"),
        ("test/ben/b.wav", "ben"),
        ("wavs/c.wav", "corpus"),
        ("d.wav", "corpus"),
    }


def test_links_are_followed_once(root: Path, search: Search) -> None:
    put(root.parent, "elsewhere/a.wav")
    (root / "ben").symlink_to(root.parent / "elsewhere")
    (root.parent / "elsewhere" / "again").symlink_to(root)
    assert search(root) == [("ben/a.wav", "ben", "")]


def test_texts_beside_the_folders(root: Path, search: Search) -> None:
    put(root, "ben/a.wav", "ben/b.wav", "anna/a.wav")
    say(root, "prompts.tsv", "a\tfirst | words\nb\tsecond\nc\tnobody's\nbroken\n")
    found = [("anna/a.wav", "anna", "first | words"), ("ben/a.wav", "ben", "first | words")]
    assert search(root) == [*found, ("ben/b.wav", "ben", "second")]
    assert search.report.counts == {"not id<TAB>text": 1}
    say(root, "other.txt", "ben/a|by path\nb|by name")
    found = search(root, layout="folder", texts=root / "other.txt")
    assert found[1:] == [("ben/a.wav", "ben", "by path"), ("ben/b.wav", "ben", "by name")]
    say(root, "none.tsv", "x\ty\n")
    with pytest.raises(UserError, match="names none of the recordings; ids are file names"):
        search(root, texts=root / "none.tsv")


def test_ljspeech(root: Path, search: Search) -> None:
    put(root, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav")
    say(
        root,
        "metadata.csv",
        'LJ001-0001|In 1455, "he|In fourteen, "he\nLJ001-0002|Only raw|\nbad\n',
    )
    assert search(root) == [
        ("wavs/LJ001-0001.wav", "corpus", 'In fourteen, "he'),
        ("wavs/LJ001-0002.wav", "corpus", "Only raw"),
    ]
    assert "layout ljspeech" in search.notices[0]
    assert search.report.counts == {"not id|text|normalised text": 1}


@pytest.mark.parametrize("above", ["", "VCTK-Corpus-0.92/"])
def test_vctk_092(root: Path, search: Search, above: str) -> None:
    sounds = f"{above}wav48_silence_trimmed"
    put(root, f"{sounds}/p225/p225_001_mic1.flac", f"{sounds}/p225/p225_001_mic2.flac")
    put(root, f"{sounds}/p225/p225_002_mic2.flac", f"{sounds}/p315/p315_001_mic1.flac")
    say(root, f"{above}txt/p225/p225_001.txt", "Please call Stella.\n")
    assert search(root) == [
        ("p225/p225_001.flac", "p225", "Please call Stella."),
        ("p225/p225_002.flac", "p225", ""),
        ("p315/p315_001.flac", "p315", ""),
    ]
    first, second, _ = search.takes(root)
    assert first.path.name == "p225_001_mic1.flac" and second.path.name == "p225_002_mic2.flac"
    assert "layout vctk" in search.notices[0]


def test_vctk_080(root: Path, search: Search) -> None:
    put(root, "wav48/p225/p225_001.wav")
    say(root, "txt/p225/p225_001.txt", "Please call Stella.")
    assert search(root) == [("p225/p225_001.wav", "p225", "Please call Stella.")]


@pytest.mark.parametrize("above", ["", "dev-clean/"])
def test_libritts(root: Path, search: Search, above: str) -> None:
    chapter = f"{above}84/121123"
    put(root, f"{chapter}/84_121123_000007_000001.wav", f"{chapter}/84_121123_000008_000000.wav")
    say(root, f"{chapter}/84_121123_000007_000001.normalized.txt", "Mister Smith.")
    say(root, f"{chapter}/84_121123_000007_000001.original.txt", "Mr. Smith.")
    say(root, f"{chapter}/84_121123_000008_000000.original.txt", "Mrs. Smith.")
    assert [take[1:] for take in search(root)] == [("84", "Mister Smith."), ("84", "Mrs. Smith.")]
    assert "layout libritts" in search.notices[0]


@pytest.mark.parametrize("above", ["", "LibriSpeech/dev-clean/"])
def test_librispeech(root: Path, search: Search, above: str) -> None:
    put(root, f"{above}84/121123/84-121123-0000.flac", f"{above}85/1/85-1-0000.flac")
    say(root, f"{above}84/121123/84-121123.trans.txt", "84-121123-0000 GO DO YOU HEAR\n")
    assert [take[1:] for take in search(root)] == [("84", "GO DO YOU HEAR"), ("85", "")]
    assert "layout librispeech" in search.notices[0]


def test_arctic(root: Path, search: Search) -> None:
    for voice in ("bdl", "slt"):
        folder = f"cmu_us_{voice}_arctic"
        put(root, f"{folder}/wav/arctic_a0001.wav", f"{folder}/wav/arctic_a0002.wav")
        put(root, f"{folder}/orig/arctic_a0001.wav")
        lines = '( arctic_a0001 "Author, \\"Philip\\" Steels." )\nbroken\n'
        say(root, f"{folder}/etc/txt.done.data", lines)
    found = [("bdl/arctic_a0001.wav", "bdl", 'Author, "Philip" Steels.')]
    found += [("bdl/arctic_a0002.wav", "bdl", "")]
    assert search(root)[:2] == found
    assert len(search(root)) == 4
    assert search(root / "cmu_us_bdl_arctic") == found
    assert "layout arctic" in search.notices[0]
    assert search.report.counts['not ( id "text" )'] == 5


TABLES = {
    "piper": ("anna/a.wav|anna|one word\nben/b.wav|ben|two | words\n", "anna", "two | words"),
    "no ending": ("anna/a|anna|one word\nben/b|ben|two words\n", "anna", "two words"),
    "numbers": ("anna/a.wav|0|one word\nben/b.wav|1|two words\n", "0", "two words"),
    "one speaker": ("anna/a.wav|one word\nben/b.wav|two words\n", "anna", "two words"),
    "tabs": ("anna/a.wav\tanna\tone word\nben/b.wav\tben\ttwo words\n", "anna", "two words"),
    "normalised": (
        "anna/a.wav|1 word|one word\nben/b.wav|2 words|two words\n",
        "anna",
        "two words",
    ),
    "header": (
        'speaker_id,path,sentence\nx,anna/a.wav,one word\ny,ben/b.wav,"two, words"\n',
        "x",
        "two, words",
    ),
    "common voice": (
        "client_id\tpath\tsentence\tup\nx\tanna/a.wav\tone word\t2\ny\tben/b.wav\ttwo words\t0\n",
        "x",
        "two words",
    ),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("place", ["", "wavs/", "clips/"])
def test_tables(root: Path, search: Search, case: str, place: str) -> None:
    content, speaker, text = TABLES[case]
    put(root, f"{place}anna/a.wav", f"{place}ben/b.wav")
    say(root, "table.csv", content)
    found = search(root / "table.csv")
    assert [name for name, *_ in found] == [f"{place}anna/a.wav", f"{place}ben/b.wav"]
    assert found[0][1] == speaker and found[1][2] == text
    assert search(root) == found, "a folder with one table"
    assert "layout table" in search.notices[0]


def test_lines_of_tables_that_are_no_use(root: Path, search: Search) -> None:
    put(root, "a.wav")
    data = b"a.wav|anna|one\nb.wav\n|anna|two\n\xff\xfe|anna|three\nabsent.wav|anna|four\n"
    (root / "t.txt").write_bytes(data)
    assert [name for name, *_ in search(root / "t.txt")] == ["a.wav", "absent.wav"]
    assert search.report.counts == {
        "invalid UTF-8": 1,
        "no file named": 1,
        "too few columns": 1,
    }


def test_files_that_are_no_tables(root: Path, search: Search) -> None:
    put(root, "a.wav")
    say(root, "t.txt", "hello\nworld\n")
    with pytest.raises(UserError, match=r"neither file\|speaker\|text nor a header"):
        search(root / "t.txt")
    (root / "b.csv").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(UserError, match="looks like a binary file"):
        search(root / "b.csv")
    (root / "c.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match=r"no recording in it \(layout manifest\); it is empty"):
        search(root / "c.jsonl")
    with pytest.raises(UserError, match="neither a folder nor a table"):
        search(root / "a.wav")


def test_audiofolder(root: Path, search: Search) -> None:
    put(root, "train/a.mp3", "train/b.mp3", "test/c.mp3")
    say(root, "train/metadata.csv", 'file_name,transcription\na.mp3,one\nb.mp3,"two, three"\n')
    lines = [{"file_name": "c.mp3", "speaker_id": 7, "text": "four"}, {"text": "no file"}]
    say(root, "test/metadata.jsonl", "\n".join(map(json.dumps, lines)))
    assert search(root) == [
        ("train/a.mp3", "corpus", "one"),
        ("train/b.mp3", "corpus", "two, three"),
        ("test/c.mp3", "7", "four"),
    ]
    assert "layout audiofolder" in search.notices[0]
    assert search.report.counts == {"no file named": 1}


def test_manifest(root: Path, search: Search) -> None:
    entries: list[Any] = [
        {"audio_filepath": str(root / "ben" / "a.wav"), "duration": 2.5, "text": "one"},
        {"audio_filepath": "b.wav", "offset": 0, "duration": 1.5, "speaker": "ben"},
        {"audio_filepath": "b.wav", "offset": 1.5, "duration": 2, "speaker": "ben"},
        {"audio_filepath": "b.wav", "offset": -1, "duration": 2},
        {"audio_filepath": "b.wav", "offset": "x"},
        {"text": "no file"},
        [1],
    ]
    say(root, "m.jsonl", "\n".join([*map(json.dumps, entries), "{broken", "[" * 99999]))
    found = search.takes(root / "m.jsonl")
    path = root / "b.wav"
    assert found == [
        Take(root / "ben" / "a.wav", "ben/a.wav", "ben", "one"),
        Take(path, "b@0.wav", "ben", "", 0, 1.5),
        Take(path, "b@1.5.wav", "ben", "", 1.5, 2),
    ]
    assert search.report.counts == {
        "impossible offset or duration": 2,
        "invalid JSON": 2,
        "no file named": 1,
        "not a JSON object": 1,
    }
    assert search.takes(root) == found


def test_a_file_elsewhere_is_called_by_its_folder(root: Path, search: Search) -> None:
    put(root.parent, "far/away/ben/a.wav")
    say(root, "m.jsonl", json.dumps({"audio_filepath": str(root.parent / "far/away/ben/a.wav")}))
    assert search(root) == [("ben/a.wav", "ben", "")]


def sound(seed: int) -> bytes:
    import io

    import soundfile

    stream = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-1, 1, 800)
    soundfile.write(stream, samples, 8000, format="WAV")
    return stream.getvalue()


def rows() -> Iterator[dict[str, Any]]:
    yield {"audio": {"bytes": sound(0), "path": "x/a.wav"}, "speaker_id": 3, "text": "one"}
    yield {"audio": {"bytes": sound(1), "path": None}, "speaker_id": 4, "text": "two"}
    yield {"audio": {"bytes": None, "path": None}, "speaker_id": 4, "text": "three"}


@pytest.mark.parametrize("whole_folder", [True, False])
def test_parquet(root: Path, search: Search, whole_folder: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows())), root / "train.parquet")
    found = search.takes(root if whole_folder else root / "train.parquet")
    assert [(take.name.split("-", 1)[1], take.speaker, take.text) for take in found] == [
        ("a.wav", "3", "one"),
        ("sound.wav", "4", "two"),
    ]
    assert [take.path.read_bytes() for take in found] == [sound(0), sound(1)]
    assert search.report.counts == {"no sound in the row": 1}
    pq.write_table(pa.table({"text": ["a"]}), root / "train.parquet")
    with pytest.raises(UserError, match="no column of sounds"):
        search(root)
    (root / "train.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(UserError, match="not a readable parquet file"):
        search(root)


class FakeDataSet:
    """What is used of `datasets.Dataset`."""

    def __init__(self, audio: type) -> None:
        self.features = {"audio": audio(), "text": "string"}
        self.asked: list[object] = []

    def cast_column(self, name: str, kind: Any) -> "FakeDataSet":  # noqa: ANN401
        self.asked.append((name, kind.decode))
        return self

    def with_format(self, kind: str) -> "FakeDataSet":
        self.asked.append(kind)
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        import pyarrow as pa

        yield pa.Table.from_pylist(list(rows())[:2])
        yield pa.Table.from_pylist(list(rows())[2:])


def test_hugging_face(root: Path, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    class Audio:
        def __init__(self, decode: bool = True) -> None:
            self.decode = decode

    asked: list[Any] = []
    data = FakeDataSet(Audio)

    def load(*given: Any, **options: Any) -> FakeDataSet:  # noqa: ANN401
        asked.append((*given, options))
        return data

    module = types.ModuleType("datasets")
    module.__dict__.update(Audio=Audio, load_dataset=load, load_from_disk=load)
    monkeypatch.setitem(sys.modules, "datasets", module)
    found = search("hf:some/voices:validation")
    assert [take[1:] for take in found] == [("3", "one"), ("4", "two")]
    (root / "state.json").write_text("{}")
    assert [take[1:] for take in search(root)] == [("3", "one"), ("4", "two")]
    hub = {"split": "validation", "streaming": True}
    assert asked == [("some/voices", hub), (str(root), {})]
    assert data.asked == [("audio", False), "arrow"] * 2
    (root / "dataset_dict.json").write_text("{}")
    with pytest.raises(UserError, match="several splits of a data set; name the folder of one"):
        search(root)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'seqvae\[datasets\]'"):
        search("hf:some/voices")


def test_several_inputs(root: Path, search: Search) -> None:
    put(root, "one/ben/a.wav", "two/ben/a.wav", "two/anna/a.wav")
    assert [take[:2] for take in search(root / "one", root / "two")] == [
        ("one/ben/a.wav", "ben"),
        ("two/anna/a.wav", "anna"),
        ("two/ben/a.wav", "ben"),
    ]
    assert search.notices[-1] == (
        f"{root / 'two'}: ben also in {root / 'one'}: taken for the same speaker"
    )


def test_nothing_that_is_known(root: Path, search: Search) -> None:
    say(root, "a.pdf", "x")
    say(root, "deep/er/b.pdf", "x")
    with pytest.raises(UserError) as caught:
        search(root)
    message = str(caught.value)
    assert "(files there: 2 .pdf)" in message
    assert all(f"\n  {layout.name} " in message for layout in LAYOUTS)
    with pytest.raises(UserError, match="no such file or folder"):
        search(root / "absent")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_that_is_not_there(root: Path, search: Search, layout: Any) -> None:  # noqa: ANN401
    say(root, "a.pdf", "x")
    with pytest.raises(UserError, match=f"not the layout {layout.name}: "):
        search(root, layout=layout.name)
    assert not layout.matches(root / "absent")
    assert not layout.matches(root / "a.pdf")


def test_forcing_one(root: Path, search: Search) -> None:
    put(root, "wavs/a.wav")
    say(root, "metadata.csv", "a|Some text|some text\n")
    assert search(root)[0][2] == "some text"
    assert search(root, layout="folder") == [("wavs/a.wav", "corpus", "")]


def test_names_that_are_no_unicode(root: Path, search: Search) -> None:
    folder = os.fsencode(root) + b"/b\xffn"
    os.mkdir(folder)
    with open(folder + b"/a\n.wav", "wb") as stream:
        stream.write(b"RIFF")
    (take,) = search.takes(root)
    assert take.path.read_bytes() == b"RIFF"
    assert take.name == r"b\udcffn/a\n.wav"
    assert take.name.encode() and json.dumps(take.name)
    assert replace(take, name="x").speaker == r"b\udcffn"


def test_the_option_lists_every_layout() -> None:
    assert {layout.name for layout in LAYOUTS} == set(LayoutName.__args__) - {"auto"}  # type: ignore[attr-defined]
