from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqvae.data.speech.audio import BadSound, Sound, prepare_sound
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.tasks.recording import KEPT, Recording
from tests.tasks.speech.sounds import RATE, babble, speech

SETTINGS = MelSettings()


def whole(recording: Recording) -> np.ndarray:
    return np.concatenate(list(recording.blocks()))


def test_samples_are_those_that_models_are_trained_on() -> None:
    sound = speech(2.0, rate=22_050)
    found = Recording(sound, SETTINGS)
    wanted = prepare_sound(sound.samples, sound.rate, SETTINGS)
    np.testing.assert_allclose(whole(found), wanted, atol=1e-6)
    assert found.length == len(wanted) and found.seconds == pytest.approx(2.0, abs=1e-3)
    assert not found.silent and found.gain > 0


@pytest.mark.parametrize("seconds", [2.0, KEPT + 5.0])
@pytest.mark.parametrize("rate", [RATE, 8_000, 96_000])
def test_a_file_gives_what_its_samples_give(tmp_path: Path, seconds: float, rate: int) -> None:
    samples = np.tile(babble(1.0, rate=rate), int(seconds))
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    found = Recording(tmp_path / "a.wav", SETTINGS)
    np.testing.assert_allclose(
        whole(found), whole(Recording(Sound(samples, rate), SETTINGS)), atol=1e-6
    )
    # It can be read again: the blocks do not wear out.
    assert len(whole(found)) == found.length


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_formats_and_channels(tmp_path: Path, subtype: str, channels: int) -> None:
    samples = babble(1.0)
    soundfile.write(tmp_path / "a.wav", np.stack([samples] * channels, 1), RATE, subtype=subtype)
    found = whole(Recording(tmp_path / "a.wav", SETTINGS))
    np.testing.assert_allclose(found, whole(Recording(Sound(samples, RATE), SETTINGS)), atol=1e-3)


@pytest.mark.parametrize("cuts", [[(0, 5000), (4000, 9000), (8000, 17_000)], [(0, 20_000)]])
@pytest.mark.parametrize("seconds", [1.0, 61.0])
def test_stretches_overlap_and_end_in_silence(
    tmp_path: Path, cuts: list[tuple[int, int]], seconds: float
) -> None:
    samples = np.tile(babble(1.0), int(seconds))
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    recording = Recording(tmp_path / "a.wav", SETTINGS)
    everything = np.pad(whole(recording), (0, 20_000))
    for found, (first, last) in zip(recording.stretches(cuts), cuts, strict=True):
        np.testing.assert_array_equal(found, everything[first:last])


def test_silence_is_known_and_left_alone() -> None:
    for samples in (np.zeros(RATE, np.float32), np.full(RATE, 0.3, np.float32)):
        found = Recording(Sound(samples, RATE), SETTINGS)
        assert found.silent and found.gain == 1.0


def test_a_clip_too_short_says_how_long_it_must_be() -> None:
    with pytest.raises(UserError, match="the sound is 10 ms long; 100 ms are needed"):
        Recording(Sound(babble(0.01), RATE), SETTINGS)
    assert Recording(Sound(babble(0.1), RATE), SETTINGS).length == 1600
    with pytest.raises(UserError, match="0 ms long"):
        Recording(Sound(np.zeros(0, np.float32), RATE), SETTINGS)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    samples = babble(1.0)
    samples[777] = value
    with pytest.raises(BadSound, match="no numbers"):
        Recording(Sound(samples, RATE), SETTINGS)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(BadSound, match=r"a\.wav: values that are no numbers"):
        Recording(tmp_path / "a.wav", SETTINGS)


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("once upon a time")
    with pytest.raises(BadSound, match=r"text\.wav: not a sound file"):
        Recording(tmp_path / "text.wav", SETTINGS)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(BadSound, match="empty file"):
        Recording(tmp_path / "empty.wav", SETTINGS)
    with pytest.raises(UserError, match="no such file"):
        Recording(tmp_path / "absent.wav", SETTINGS)
