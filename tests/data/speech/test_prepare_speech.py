"""Recordings become a corpus: the same whatever the workers, whole or not at all, and exactly what was asked for."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae import cli
from seqvae.data.folder import modality_of
from seqvae.data.speech.audio import read_audio, write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.energy import energy_of
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.workers import PartJob
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError
from seqvae.nn.mel import MelSpectrogram
from tests.data.speech.conftest import Prepare, write_voices
from tests.tasks.speech.sounds import babble


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def texts(corpus: SpeechCorpus, split: str) -> set[str]:
    store = corpus.split(split)
    return {store.text(index) for index in range(len(store))}


@pytest.mark.usefixtures("small_parts")
def test_what_is_stored(voices: Path, prepare: Prepare, notices: list[str]) -> None:
    corpus = prepare(voices, trim="none")
    store = corpus.split("train")
    assert modality_of(corpus.path) == "speech"
    assert corpus.speakers == corpus.train_speakers == ["voice0", "voice1"]
    assert len(store) == 12 and len(corpus.meta["shards"]) == 3
    assert [store.name(0), store.name(11)] == ["voice0/p00.wav", "voice1/p05.wav"]
    assert store.text(11) == "sentence number 5"
    assert store.speaker.tolist() == [0] * 6 + [1] * 6
    frames = MelSpectrogram(corpus.settings)
    everything = []
    for index in range(len(store)):
        source = read_audio(voices / store.name(index)).samples
        audio, mel, pitch = store.audio(index), store.mel(index), store.pitch(index)
        count = len(source) // 256
        assert (len(audio), mel.shape, pitch.shape) == (count * 256, (count, 80), (count,))
        assert store.frames[index] == count
        expected = (source - source.mean())[: count * 256] * store.gain[index]
        np.testing.assert_allclose(audio, expected, atol=2e-5)
        assert energy_of(audio, 16_000).loudness() == pytest.approx(0.06, rel=0.02)
        computed = frames(torch.from_numpy(audio)[None])[0].numpy()
        np.testing.assert_allclose(mel, computed, atol=5e-3)
        assert np.abs(mel - computed).mean() < 1.5e-3
        voiced = pitch[pitch > 0]
        assert np.median(voiced) == pytest.approx(110.0 + 50.0 * store.speaker[index], rel=0.03)
        everything.append(mel)
    values = np.concatenate(everything)
    np.testing.assert_allclose(corpus.mean, values.mean(0), atol=1e-4)
    np.testing.assert_allclose(corpus.std, np.maximum(values.std(0), 0.1), atol=1e-4)
    assert any("layout folder, 12 recordings of 2 speakers, all with text" in n for n in notices)


def test_crops_and_what_is_beyond(voices: Path, prepare: Prepare) -> None:
    store = prepare(voices).split("train")
    whole, count = store.mel(3), int(store.frames[3])
    np.testing.assert_array_equal(store.mel(3, 5, 7), whole[5:12])
    np.testing.assert_array_equal(store.audio(3, 5, 7), store.audio(3)[5 * 256 : 12 * 256])
    np.testing.assert_array_equal(store.pitch(3, 5, 7), store.pitch(3)[5:12])
    assert len(store.mel(3, count - 2, 7)) == 2 and len(store.mel(3, count)) == 0
    for index, start in ((-1, 0), (99, 0), (3, -1), (3, count + 1)):
        with pytest.raises(IndexError):
            store.mel(index, start)
    with pytest.raises(IndexError):
        store.text(99)
    assert store.seconds == pytest.approx(store.frames.sum() / 62.5)


def test_prompts_are_held_out_for_both_voices(voices: Path, prepare: Prepare) -> None:
    corpus = prepare(voices, valid=1, test=2)
    held = {name: texts(corpus, name) for name in ("train", "valid", "test")}
    assert [len(held[name]) for name in held] == [3, 1, 2]
    assert not held["train"] & held["test"] and not held["valid"] & held["test"]
    assert [len(corpus.split(name)) for name in held] == [6, 2, 4]
    assert corpus.meta["splits"]["test"]["recordings"] == 4


def test_a_held_out_voice_stands_behind_the_others(tmp_path: Path, prepare: Prepare) -> None:
    folder = write_voices(tmp_path / "in", speakers=3, prompts=3)
    corpus = prepare(folder, test_speakers=("voice0",))
    assert corpus.speakers == ["voice1", "voice2", "voice0"]
    assert corpus.train_speakers == ["voice1", "voice2"]
    assert set(corpus.split("test").speaker.tolist()) == {2}
    assert set(corpus.split("train").speaker.tolist()) == {0, 1}


def test_a_split_that_was_not_wanted_is_empty(voices: Path, prepare: Prepare) -> None:
    corpus = prepare(voices)
    store = corpus.split("valid")
    assert len(store) == 0 and store.seconds == 0.0
    assert len(store.frames) == len(store.speaker) == len(store.gain) == 0
    with pytest.raises(UserError, match="no split 'dev'; it has train, valid, test"):
        corpus.split("dev")


@pytest.mark.usefixtures("small_parts")
def test_workers_and_place_do_not_matter(
    voices: Path, prepare: Prepare, tmp_path: Path, notices: list[str]
) -> None:
    expected = content(prepare(voices, valid=1, test=1).path)
    moved = tmp_path / "elsewhere" / "voices"
    shutil.copytree(voices, moved)
    assert content(prepare(moved, valid=1, test=1, workers=2, out="two").path) == expected
    assert torch.get_num_threads() >= 1


def test_other_mel_settings(voices: Path, prepare: Prepare) -> None:
    mel = MelSettings(sample_rate=22_050, n_fft=512, hop=128, window=400, mels=40, high=11_025.0)
    corpus = prepare(voices, mel=mel)
    store = corpus.split("train")
    assert corpus.settings == mel
    assert store.mel(0).shape[1] == 40
    assert len(store.audio(0)) == 128 * len(store.mel(0))
    assert np.median(store.pitch(0)[store.pitch(0) > 0]) == pytest.approx(110.0, rel=0.05)


def test_the_same_again_does_nothing(voices: Path, prepare: Prepare, notices: list[str]) -> None:
    before = prepare(voices)
    times = {path: path.stat().st_mtime_ns for path in before.path.iterdir()}
    assert prepare(voices, workers=3, layout="folder").fingerprint == before.fingerprint
    assert notices[-1].endswith("already prepared with this input and these settings")
    assert times == {path: path.stat().st_mtime_ns for path in before.path.iterdir()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trim": "gaps"}, "trim was ends, is gaps"),
        ({"seed": 3}, "seed was 0, is 3"),
        ({"test": 1}, r"test was 0(\.0)?, is 1"),
        ({"mel": MelSettings(mels=40)}, "mels was 80, is 40"),
    ],
)
def test_another_corpus_in_the_way(
    voices: Path, prepare: Prepare, settings: dict[str, Any], message: str
) -> None:
    before = prepare(voices).fingerprint
    with pytest.raises(UserError, match=rf"holds another corpus \({message}\); pass --overwrite"):
        prepare(voices, **settings)
    assert prepare(voices).fingerprint == before
    assert prepare(voices, **settings, overwrite=True).fingerprint != before


def test_another_input_in_the_way(tmp_path: Path, prepare: Prepare) -> None:
    folder = write_voices(tmp_path / "in", prompts=2)
    prepare(folder)
    text = folder / "prompts.tsv"
    text.write_text(text.read_text().replace("number 1", "number one"))
    with pytest.raises(UserError, match="the recordings or their texts differ"):
        prepare(folder)
    write_audio(folder / "voice0" / "more.wav", babble(1.0), 16_000)
    with pytest.raises(UserError, match="it was made of 4 recordings, there are 5"):
        prepare(folder)


def test_something_else_in_the_way(voices: Path, prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="a file is in the way"):
        prepare(voices)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds something that is not a corpus"):
        prepare(voices, out="folder", overwrite=True)
    with Workspace(tmp_path / "busy").hold(""), pytest.raises(UserError, match="another `prepare`"):
        prepare(voices, out="busy")


@pytest.mark.usefixtures("small_parts")
def test_finished_parts_are_not_made_again(
    voices: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = content(prepare(voices, out="whole", valid=1).path)
    real = PartJob.run
    ran: list[str] = []

    def run(self: PartJob, on_take: Any) -> None:  # noqa: ANN401
        ran.append(self.result.stem)
        if ran == ["00000", "00001"]:
            raise KeyboardInterrupt
        real(self, on_take)

    monkeypatch.setattr(PartJob, "run", run)
    with pytest.raises(KeyboardInterrupt):
        prepare(voices, valid=1)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out.partial" / "parts" / "sound-00001.999.new").write_text("a killed worker's")
    assert content(prepare(voices, valid=1).path) == expected
    assert ran == ["00000", "00001", "00001", "00002"]
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.usefixtures("small_parts")
def test_another_split_uses_what_was_read(
    voices: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--test: 5 prompts are more than half of the 6"):
        prepare(voices, test=5)
    assert not (tmp_path / "out").exists()

    def refuse(self: PartJob, on_take: Any) -> None:  # noqa: ANN401
        raise AssertionError("read again")

    monkeypatch.setattr(PartJob, "run", refuse)
    assert len(prepare(voices, test=2).split("test")) == 4


# No `if __name__ == "__main__"`: workers must not run the script again.
SCRIPT = """
import sys
from pathlib import Path
from seqvae.data.speech import stages
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
stages._PART_TAKES = 5
config = PrepareSpeech((sys.argv[1],), Path(sys.argv[2]), workers=2, valid=1, test=1)
prepare_speech(config, say=lambda notice: None)
"""


@pytest.mark.usefixtures("small_parts")
def test_kill_and_run_again(voices: Path, prepare: Prepare, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", SCRIPT, str(voices), str(out)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        while process.poll() is None and not any(tmp_path.glob("out.partial/parts/*.json")):
            time.sleep(0.01)
        process.kill()
    found = content(prepare(voices, valid=1, test=1).path)
    assert found == content(prepare(voices, valid=1, test=1, out="whole").path)
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.usefixtures("small_parts")
def test_a_worker_that_dies_is_told_and_what_is_done_stays(
    voices: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # In the worker's Python, reading this one file kills the process, as a decoder's bug would.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event == 'open' and str(args[0]).endswith('voice1/p02.wav'):\n"
        "        import os; os._exit(9)\n"
        "sys.addaudithook(hook)\n"
    )
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path / "site"))
        with pytest.raises(UserError, match=r"voice1/p02\.wav: a worker died while reading it"):
            prepare(voices, workers=2)
    assert not (tmp_path / "out").exists()
    assert len(prepare(voices).split("train")) == 12


def test_an_error_of_a_worker_is_the_users(
    voices: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys; sys.modules['soundfile'] = None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr("seqvae.data.speech.stages._PART_TAKES", 5)
    with pytest.raises(UserError, match="soundfile is not installed"):
        prepare(voices, workers=2)


def test_sound_inside_tables(voices: Path, prepare: Prepare, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "audio": {"bytes": path.read_bytes(), "path": path.name},
            "speaker": path.parent.name,
            "text": path.stem,
        }
        for path in sorted(voices.rglob("*.wav"))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    corpus = prepare(tmp_path / "t.parquet", test=2)
    plain = prepare(voices, out="plain")
    assert corpus.speakers == plain.speakers
    np.testing.assert_array_equal(
        prepare(tmp_path / "t.parquet", out="again").split("train").audio(7),
        plain.split("train").audio(7),
    )
    assert not (tmp_path / "out.sounds").exists() and not (tmp_path / "again.sounds").exists()
    assert prepare(tmp_path / "t.parquet", test=2).fingerprint == corpus.fingerprint


def test_the_command(voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    options = ["--valid", "1", "--test", "1", "--workers", "1", "--mel.mels", "40"]
    assert cli.main(["prepare", "speech", str(voices), str(out), *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{out}: 40 mel bins, 62.5 frames/s"
    assert printed[1].split() == ["train", "0.00", "h", "8", "recordings", "2", "speakers"]
    assert printed[4].startswith("  voice0  train 0.")
    assert cli.main(["prepare", "speech", str(voices)]) == 2
    assert "prepare speech IN... OUT: only" in capsys.readouterr().err
    assert cli.main(["prepare", "music", str(voices), str(out)]) == 2
    assert (
        "prepare what? known: text, speech, molecules, frames, digits; got 'music'"
        in capsys.readouterr().err
    )
    assert cli.main(["prepare", "--help"]) == 0
    with pytest.raises(SystemExit):
        cli.main(["prepare", "speech", "--help"])
    told = capsys.readouterr().out
    assert "skipped.jsonl" in told and "--test-speakers" in told


def test_skipped_is_json_lines(voices: Path, prepare: Prepare, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(voices, folder)
    (folder / "voice0" / "text.wav").write_text("no sound at all")
    corpus = prepare(folder)
    lines = (corpus.path / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["voice0/text.wav"]
    assert corpus.meta["counts"]["left out"] == {"not a sound file": 1}
