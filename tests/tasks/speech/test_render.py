import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae.data.speech.audio import Sound
from seqvae.tasks.chunks import Chunking
from seqvae.tasks.render import Window, joined, listen, render, speak
from seqvae.tasks.speech_model import SpeechModel
from tests.tasks.speech.sounds import RATE, babble, speech

SHORT = Chunking(seconds=2.0, overlap=0.5, fade=0.05)


def same(window: Window) -> Tensor:
    return window.mel


@pytest.mark.parametrize("samples", [1600, 4800, 16_000, 16_001, 100_003])
def test_windows_hold_every_frame_once(model: SpeechModel, samples: int) -> None:
    recording = model.recording(Sound(babble(samples / RATE), RATE))
    found = list(listen(model, recording, SHORT))
    assert sum(w.mel[0, w.own].shape[0] for w in found) == -(-samples // model.step) * 2
    for window in found:
        assert window.first % model.step == 0
        assert len(window.samples) == window.mel.shape[1] * model.settings.hop


def test_frames_of_windows_are_those_of_the_whole(model: SpeechModel) -> None:
    recording = model.recording(speech(7.0))
    (whole,) = listen(model, recording)
    parts = [window.mel[0, window.own] for window in listen(model, recording, SHORT)]
    assert len(parts) > 3
    torch.testing.assert_close(torch.cat(parts), whole.mel[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("chunking", [None, SHORT])
def test_the_length_and_the_loudness_are_the_source_s(
    model: SpeechModel, seconds: float, chunking: Chunking | None
) -> None:
    recording = model.recording(Sound(0.1 * babble(seconds), RATE))
    pieces = list(joined(model, recording, lambda w: w.samples, chunking))
    np.testing.assert_allclose(np.concatenate(pieces), 0.1 * babble(seconds), atol=1e-6)
    assert len(np.concatenate(list(render(model, recording, same, chunking)))) == recording.length


def test_silence_stays_silent(model: SpeechModel) -> None:
    recording = model.recording(Sound(np.zeros(40_000, np.float32), RATE))
    spoken = np.concatenate(list(render(model, recording, same, SHORT)))
    assert spoken.shape == (40_000,) and not spoken.any()


def test_the_vocoder_s_noise_has_its_place_in_the_recording(model: SpeechModel) -> None:
    mel = torch.full((1, 20, 80), -3.0)
    first, again = speak(model, mel, 0, seed=1), speak(model, mel, 0, seed=1)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - speak(model, mel, 0, seed=2)).max() > 1e-3
    assert np.abs(first - speak(model, mel, 20, seed=1)).max() > 1e-3
