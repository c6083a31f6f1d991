import importlib.util
import math

import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.nn.mel import MelSpectrogram
from seqvae.nn.torchaudio_guard import torchaudio

SETTINGS = MelSettings()
OTHER = MelSettings(
    sample_rate=22_050, n_fft=512, hop=200, window=400, mels=40, low=50.0, high=7600.0
)


def sound(samples: int, rows: int = 2) -> Tensor:
    """A gliding tone in a little noise."""
    generator = torch.Generator().manual_seed(samples)
    time = torch.arange(samples) / SETTINGS.sample_rate
    tone = 0.3 * torch.sin(2 * math.pi * (200.0 * time + 300.0 * time.square()))
    return tone + 0.01 * torch.randn(rows, samples, generator=generator)


@pytest.mark.parametrize("settings", [SETTINGS, OTHER], ids=["default", "other"])
@pytest.mark.parametrize("samples", [1000, 4096, 16_001])
def test_the_form_that_exports_gives_the_same(settings: MelSettings, samples: int) -> None:
    wave = sound(samples)
    plain, exported = MelSpectrogram(settings), MelSpectrogram(settings, exportable=True)
    assert plain(wave).shape == (2, samples // settings.hop, settings.mels)
    found, expected = exported(wave), plain(wave)
    torch.testing.assert_close(found.exp(), expected.exp(), rtol=1e-5, atol=1e-6)
    # Quiet bins are differences of loud samples: their logarithms show the rounding.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        exported.magnitude(wave), plain.magnitude(wave), rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("samples", [0, 1, 255, 256, 300, 384, 385, 511, 512])
def test_a_short_sound_has_the_frames_of_its_length(samples: int) -> None:
    mel = MelSpectrogram(SETTINGS)(sound(samples))
    assert mel.shape == (2, samples // 256, 80)
    assert torch.isfinite(mel).all()


def test_silence_is_the_floor() -> None:
    mel = MelSpectrogram(SETTINGS)(torch.zeros(1, 2048))
    torch.testing.assert_close(mel, torch.full((1, 8, 80), math.log(1e-5)))


def test_a_tone_is_loudest_in_its_bin_and_twice_as_loud_is_ln_2_more() -> None:
    time = torch.arange(16_000) / 16_000
    for hertz, expected in ((440.0, 11), (1000.0, 25), (4000.0, 62)):
        tone = 0.1 * torch.sin(2 * math.pi * hertz * time)[None]
        mel = MelSpectrogram(SETTINGS)(tone)[0, 20]
        assert abs(int(mel.argmax()) - expected) <= 1
        louder = MelSpectrogram(SETTINGS)(2 * tone)[0, 20]
        peak = mel.argmax()
        assert float(louder[peak] - mel[peak]) == pytest.approx(math.log(2), abs=1e-4)


def test_frames_of_a_part_are_those_of_the_whole() -> None:
    wave, mel = sound(16_384), MelSpectrogram(SETTINGS)
    whole, part = mel(wave), mel(wave[:, 20 * 256 : 44 * 256])
    # Two frames at each end see the mirror.
    torch.testing.assert_close(part[:, 2:-2], whole[:, 22:42])


@pytest.mark.parametrize("settings", [SETTINGS, OTHER], ids=["default", "other"])
def test_values_are_those_of_torchaudio(settings: MelSettings) -> None:
    if importlib.util.find_spec("torchaudio") is None:
        pytest.skip("torchaudio is not installed")
    transforms = torchaudio().transforms
    transform = transforms.MelSpectrogram(
        settings.sample_rate,
        n_fft=settings.n_fft,
        win_length=settings.window,
        hop_length=settings.hop,
        f_min=settings.low,
        f_max=settings.high,
        n_mels=settings.mels,
        power=1.0,
        norm="slaney",
        mel_scale="slaney",
        center=False,
    )
    wave, edge = sound(8000), settings.edge
    padded = torch.nn.functional.pad(wave[:, None], (edge, edge), mode="reflect")[:, 0]
    expected = torch.log(transform(padded).clamp_min(settings.floor)).transpose(1, 2)
    torch.testing.assert_close(MelSpectrogram(settings)(wave), expected, rtol=0, atol=1e-4)
