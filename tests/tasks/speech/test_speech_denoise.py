import dataclasses
import warnings

import numpy as np
import pytest
import torch

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.mix import NoiseMix
from seqvae.errors import UserError
from seqvae.tasks.chunks import Chunking
from seqvae.tasks.render import Window, joined
from seqvae.tasks.speech_denoise import DEEPEST, band_gains, denoise_speech, filtered
from seqvae.tasks.speech_model import SpeechModel
from seqvae.vocoders.stft import FastStft
from tests.tasks.speech.conftest import tiny
from tests.tasks.speech.sounds import RATE, babble, speech


@pytest.fixture(scope="module")
def denoiser() -> SpeechModel:
    """An untrained model that says that it was trained on noise."""
    model = tiny()
    experiment = model.info["experiment"]
    speech = dataclasses.replace(experiment.model, noise=NoiseMix(probability=0.8))
    model.info["experiment"] = dataclasses.replace(experiment, model=speech)
    return model


def si_sdr(found: np.ndarray, wanted: np.ndarray) -> float:
    """Scale-invariant ratio of signal to distortion, decibels (Le Roux et al. 2019)."""
    target = wanted * (found @ wanted) / (wanted @ wanted)
    return float(10 * np.log10((target @ target) / np.sum((found - target) ** 2)))


def test_frames_that_are_right_take_the_noise_off(denoiser: SpeechModel) -> None:
    clean = babble(3.0)
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=float(clean.std()), size=len(clean))
    noisy = np.asarray(clean + noise, np.float32)
    stft = FastStft(denoiser.settings)
    recording = denoiser.recording(Sound(noisy, RATE))

    def sound(window: Window) -> np.ndarray:
        true = recording.gain * np.pad(clean, (0, len(window.samples) - len(clean)))
        mel = denoiser.mel(torch.from_numpy(true.astype(np.float32))[None])
        gains = band_gains(mel - window.mel, denoiser.mel.filters)
        return np.asarray(filtered(stft, window.samples, gains).numpy())

    found = np.concatenate(list(joined(denoiser, recording, sound)))
    assert si_sdr(noisy, clean) == pytest.approx(0.0, abs=0.5)
    assert si_sdr(found, clean) > 9.0


def test_gains_are_between_nothing_and_one(denoiser: SpeechModel) -> None:
    filters = denoiser.mel.filters
    assert torch.allclose(band_gains(torch.full((1, 2, 80), 3.0), filters), torch.ones(1, 2, 513))
    low = band_gains(torch.full((1, 2, 80), -20.0), filters)
    assert torch.allclose(low, torch.full((1, 2, 513), DEEPEST))
    step = torch.zeros(1, 1, 80)
    step[..., 40:] = -20.0
    assert bool((band_gains(step, filters).diff() <= 1e-6).all())


def test_gains_of_one_leave_the_sound_as_it_is(denoiser: SpeechModel) -> None:
    samples = babble(1.024)
    found = filtered(FastStft(denoiser.settings), samples, torch.ones(1, 64, 513))
    np.testing.assert_allclose(found.numpy(), samples, atol=1e-5)


@pytest.mark.parametrize("method", ["mask", "vocoder"])
def test_length_and_company(denoiser: SpeechModel, method: str) -> None:
    source = speech(5.0)
    found = denoiser.denoise(source, method=method)  # type: ignore[arg-type]
    assert len(found.samples) == 5 * RATE and np.isfinite(found.samples).all()
    cut = denoise_speech(
        denoiser,
        denoiser.recording(source),
        method=method,  # type: ignore[arg-type]
        chunking=Chunking(seconds=2.0, overlap=0.5, fade=0.1),
    )
    assert len(np.concatenate(list(cut))) == 5 * RATE


def test_a_mask_adds_nothing(denoiser: SpeechModel) -> None:
    source = speech(2.0)
    found = denoiser.denoise(source)
    assert np.sum(found.samples**2) < np.sum(source.samples**2)


def test_a_run_without_noise_is_warned_about(denoiser: SpeechModel, model: SpeechModel) -> None:
    with pytest.warns(UserWarning, match=r"not trained on noise.*--model\.noise\.probability"):
        model.denoise(speech(0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoiser.denoise(speech(0.5))


def test_methods_are_two(model: SpeechModel) -> None:
    with pytest.raises(UserError, match="method is 'magic'; it must be mask or vocoder"):
        model.denoise(speech(0.5), method="magic")  # type: ignore[arg-type]
