import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seqvae
from seqvae.config import Experiment, write_config
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.tasks.speech_model import SpeechModel
from seqvae.training import is_speech, load_speech, load_text
from seqvae.vocoders import GriffinLim, save_vocoder
from tests.tasks.speech.conftest import SPEAKERS, tiny, write_run
from tests.tasks.speech.sounds import speech


@pytest.mark.parametrize("speakers", ["encoder", "table", "both"])
def test_a_run_loads_as_what_it_was(tmp_path: Path, speakers: str) -> None:
    model = tiny(speakers)  # type: ignore[arg-type]
    found = seqvae.load(write_run(tmp_path / "run", model))
    assert isinstance(found, SpeechModel) and is_speech(tmp_path / "run")
    assert found.speakers == SPEAKERS and found.settings == model.settings
    assert (found.info["step"], found.info["run"]) == (7, str(tmp_path / "run"))
    wanted = model.model.state_dict()
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, wanted[name]), name
    source = speech(0.5)
    np.testing.assert_array_equal(
        found.reconstruct(source).samples, model.reconstruct(source).samples
    )


def test_without_a_vocoder_of_its_own_it_speaks_by_griffin_lim(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tiny())
    assert load_speech(run).vocoder.config.iterations == 2  # type: ignore[union-attr]
    (run / "vocoder").rename(run / "elsewhere")
    assert load_speech(run).vocoder.config == GriffinLim()


def test_a_run_of_the_other_kind_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{run} is a speech run; a text run is needed"):
        load_text(run)
    write_config(tmp_path / "config.json", Experiment())
    with pytest.raises(UserError, match="is a text run; a speech run is needed"):
        load_speech(tmp_path)


def test_a_vocoder_for_other_frames_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tiny())
    other = MelSettings(mels=40)
    save_vocoder(GriffinLim().build(other), GriffinLim(), run / "vocoder")
    with pytest.raises(UserError, match="mels 40, but the frames have mels 80"):
        load_speech(run)
    with pytest.raises(UserError, match="mels 40, but the frames have mels 80"):
        tiny().use_vocoder(GriffinLim().build(other))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mel", None, "mel settings or speakers are damaged"),
        ("mel", {"mels": 0}, "mel settings mels: 0"),
        ("mel", {"depth": 3}, "mel settings or speakers are damaged"),
        ("speakers", "anna", "not a list of names"),
        ("mel", dataclasses.asdict(MelSettings(mels=40)), "weights do not fit"),
    ],
)
def test_a_damaged_configuration_is_named(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    run = write_run(tmp_path / "run", tiny())
    document = json.loads((run / "config.json").read_text())
    document[field] = value
    (run / "config.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=message):
        load_speech(run)


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tiny())
    with pytest.raises(UserError, match="no 'last' weights yet"):
        load_speech(run, "last")
