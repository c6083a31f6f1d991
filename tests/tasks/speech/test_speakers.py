from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open

from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.prepare import prepare_speech
from seqvae.data.speech.settings import PrepareSpeech
from seqvae.errors import UserError
from seqvae.tasks.speakers import FILE, speakers_of
from seqvae.training import load_speech
from tests.tasks.speech.conftest import SPEAKERS, tiny, write_run
from tests.tasks.speech.sounds import RATE, babble, speech

PITCHES = {"anna": 220.0, "ben": 100.0, "cleo": 160.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three speakers, one of whom has a single recording."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, pitch in PITCHES.items():
        for number in range(1 if name == "cleo" else 4):
            path = folder / "in" / name / f"{name}{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, babble(1.0, pitch, seed=number), RATE)
    config = PrepareSpeech((str(folder / "in"),), folder / "data", valid=0.0, test=0.0)
    prepare_speech(config)
    return folder / "data"


def test_a_name_stands_for_the_mean_of_its_recordings(tmp_path: Path, data: Path) -> None:
    model = load_speech(write_run(tmp_path / "run", tiny(), data))
    store = SpeechCorpus.open(data).split("train")
    own = np.flatnonzero(store.speaker == SPEAKERS.index("ben"))
    with torch.inference_mode():
        means = [model.model.style(torch.from_numpy(store.mel(int(i)))[None]).mean for i in own]
    wanted = torch.cat(means).mean(0)
    torch.testing.assert_close(model.voice("ben").condition, wanted)


def test_a_speaker_with_one_recording_is_one(tmp_path: Path, data: Path) -> None:
    model = load_speech(write_run(tmp_path / "run", tiny(), data))
    found = model.convert(speech(0.5), "cleo")
    assert len(found.samples) == RATE // 2


def test_they_are_kept_and_survive_the_corpus(tmp_path: Path, data: Path) -> None:
    run = write_run(tmp_path / "run", tiny(), data)
    wanted = speakers_of(load_speech(run))
    (run / "config.json").write_text(
        (run / "config.json").read_text().replace(str(data), "nowhere")
    )
    found = speakers_of(load_speech(run))
    assert torch.equal(found.styles, wanted.styles)
    assert torch.equal(found.f0.nan_to_num(), wanted.f0.nan_to_num())


def test_other_weights_are_measured_again(tmp_path: Path, data: Path) -> None:
    run = write_run(tmp_path / "run", tiny(), data)
    model = load_speech(run)
    speakers_of(model)
    (run / FILE).write_bytes(b"damaged")
    model = load_speech(run)
    speakers_of(model)
    with safe_open(run / FILE, "pt") as file:
        assert '"step": 7' in file.metadata()["weights"]
    later = load_speech(run)
    later.info["step"] = 8
    later.info["experiment"] = model.info["experiment"]
    speakers_of(later)
    with safe_open(run / FILE, "pt") as file:
        assert '"step": 8' in file.metadata()["weights"]


def test_a_corpus_without_the_speaker_is_named(tmp_path: Path, data: Path) -> None:
    model = tiny()
    model.speakers.append("dora")
    run = write_run(tmp_path / "run", model, data)
    with pytest.raises(UserError, match="has no recording of dora to train on"):
        load_speech(run).voice("ben")


def test_a_table_needs_them_for_their_pitch_only(tmp_path: Path, data: Path) -> None:
    model = load_speech(write_run(tmp_path / "run", tiny("table"), data))
    model.convert(speech(0.5), "ben")
    assert (tmp_path / "run" / FILE).exists()
