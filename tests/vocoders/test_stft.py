import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.nn.mel import MelSpectrogram
from seqvae.ops.philox import normal
from seqvae.vocoders.stft import ConvolvedStft, FastStft, Stft

SETTINGS = MelSettings()
OTHERS = [
    MelSettings(n_fft=512, hop=128, window=400),
    MelSettings(n_fft=60, hop=20, window=60, mels=4),
    MelSettings(n_fft=2048, hop=512, window=2048),
]
KINDS = [FastStft, ConvolvedStft]


def sound_of(settings: MelSettings, frames: int, rows: int = 2) -> Tensor:
    return normal(torch.tensor([1]), (rows, (frames - 1) * settings.hop + settings.n_fft))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_the_inverse_gives_the_sound_back(kind: type[Stft], frames: int) -> None:
    stft = kind(SETTINGS)
    sound = sound_of(SETTINGS, frames)
    again = stft.inverse(stft(sound))
    assert again.shape == sound.shape
    # The window is zero at the first sample of all; beside it digits are lost.
    torch.testing.assert_close(again[:, 64:-64], sound[:, 64:-64], rtol=0, atol=1e-3)
    torch.testing.assert_close(stft.trim(again), stft.trim(sound), rtol=0, atol=3e-6)
    assert stft.trim(sound).shape == (2, frames * 256)


def test_frames_are_those_of_the_mel_spectrogram() -> None:
    stft = FastStft(SETTINGS)
    sound = normal(torch.tensor([2]), (1, 20 * 256))
    magnitude = MelSpectrogram(SETTINGS).magnitude(sound)
    padded = torch.nn.functional.pad(sound[:, None], (384, 384), mode="reflect")[:, 0]
    torch.testing.assert_close(stft(padded).square().sum(2).sqrt(), magnitude)


@pytest.mark.parametrize("settings", [SETTINGS, *OTHERS], ids=lambda s: str(s.n_fft))
def test_convolutions_give_the_same_spectra(settings: MelSettings) -> None:
    fast, convolved = FastStft(settings), ConvolvedStft(settings)
    sound = sound_of(settings, 7)
    real, imaginary = fast(sound).unbind(2)
    signs = torch.where(convolved.signs > 0, 1.0, -1.0)
    expected = torch.stack((convolved.arrange(real), convolved.arrange(imaginary) * signs), 2)
    torch.testing.assert_close(convolved(sound), expected, rtol=0, atol=2e-4)
    inner = slice(settings.edge, -settings.edge)
    torch.testing.assert_close(
        convolved.inverse(expected)[:, inner], sound[:, inner], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_spectra_from_magnitude_and_angle(kind: type[Stft]) -> None:
    stft = kind(SETTINGS)
    real, imaginary = FastStft(SETTINGS)(sound_of(SETTINGS, 3)).unbind(2)
    turns = torch.atan2(imaginary, real) / (2 * torch.pi)
    magnitude = stft.arrange((real.square() + imaginary.square()).sqrt())
    torch.testing.assert_close(
        stft.polar(magnitude, turns), stft(sound_of(SETTINGS, 3)), rtol=0, atol=1e-4
    )


def test_a_hop_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"hop.*divides n_fft 1024.*got 200"):
        FastStft(MelSettings(hop=200))
