from pathlib import Path

import pytest
import soundfile
import torch

from seqvae.errors import UserError
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.voice import Voice, heard_voice, likely_speaker, styles
from tests.tasks.speech.sounds import RATE, babble, speech


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for name, pitch in (("a", 100.0), ("b", 200.0)):
        soundfile.write(tmp_path / f"{name}.wav", babble(1.0, pitch), RATE, subtype="FLOAT")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_a_voice_is_the_mean_of_its_recordings_styles(model: SpeechModel, recordings: Path) -> None:
    a, b = (model.voice(recordings / f"{name}.wav").condition for name in "ab")
    assert a.shape == (32,) and a.dtype == torch.float32
    both = model.voice([recordings / "a.wav", str(recordings / "b.wav")])
    torch.testing.assert_close(both.condition, (a + b) / 2)
    torch.testing.assert_close(model.voice(recordings).condition, (a + b) / 2)
    assert model.voice(recordings / "a.wav").name == "a"


def test_sounds_and_voices_are_taken_as_they_are(model: SpeechModel, recordings: Path) -> None:
    found = model.voice(speech(1.0, 100.0))
    wanted = model.voice(recordings / "a.wav")
    torch.testing.assert_close(found.condition, wanted.condition, rtol=1e-3, atol=1e-3)
    assert model.voice(found) is found


def test_a_long_recording_is_heard_for_a_minute(model: SpeechModel) -> None:
    assert len(styles(model, model.recording(speech(10.0)))) == 1
    assert len(styles(model, model.recording(speech(70.0)))) == 3
    assert len(styles(model, model.recording(speech(130.0)))) == 3


def test_a_speaker_of_a_table_is_its_row(table_model: SpeechModel) -> None:
    assert table_model.model.labels is not None
    row = table_model.model.labels.weight[1]
    torch.testing.assert_close(table_model.voice("ben").condition, row.detach())


def test_a_table_knows_no_other_voices(table_model: SpeechModel) -> None:
    with pytest.raises(UserError, match=r"by name only .anna, ben, cleo.*--model.speakers encoder"):
        table_model.voice(speech(1.0))


@pytest.mark.parametrize("who", ["table_model", "both_model"])
def test_the_likely_speaker_costs_least(who: str, request: pytest.FixtureRequest) -> None:
    model: SpeechModel = request.getfixturevalue(who)
    recording = model.recording(speech(2.0))
    own = heard_voice(model, [recording])
    style = own.condition[:32] if model.hears_voices else None
    speaker = likely_speaker(model, recording, style)
    torch.testing.assert_close(own.condition, model.condition(style, speaker))
    costs = [
        model.score(recording, Voice("", model.condition(style, n)), samples=64).reconstruction
        for n in range(3)
    ]
    assert costs[speaker] < min(costs) + 0.02 * abs(min(costs))


def test_strength_walks_between_voices_and_past_them() -> None:
    a, b = Voice("a", torch.zeros(2)), Voice("b", torch.tensor([1.0, 2.0]))
    assert torch.equal(a.towards(b, 0.0).condition, a.condition)
    assert torch.equal(a.towards(b, 1.0).condition, b.condition)
    assert torch.equal(a.towards(b, 1.5).condition, torch.tensor([1.5, 3.0]))
    assert a.towards(b, 0.5).name == "b"


def test_who_is_unknown_is_told_who_is_known(model: SpeechModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'bem' is neither a file nor a speaker.*did you mean ben"):
        model.voice("bem")
    with pytest.raises(UserError, match="no sound file in the folder"):
        model.voice(tmp_path)
    with pytest.raises(UserError, match="no recording given"):
        model.voice([])
    with pytest.raises(
        UserError, match=r"not heard yet, and that needs the corpus.*give recordings"
    ):
        model.voice("ben")
