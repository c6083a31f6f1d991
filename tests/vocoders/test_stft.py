import pytest
import torch

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.nn.mel import MelSpectrogram
from seqvae.ops.philox import normal
from seqvae.vocoders.stft import Stft, polar

SETTINGS = MelSettings()


@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_the_inverse_gives_the_sound_back(frames: int) -> None:
    stft = Stft(SETTINGS)
    sound = normal(torch.tensor([1]), (2, (frames - 1) * 256 + 1024))
    again = stft.inverse(stft(sound))
    assert stft(sound).shape == (2, frames, 2, 513)
    # Only the first sample has a window of zero; those beside it lose digits.
    torch.testing.assert_close(again[:, 64:-64], sound[:, 64:-64], rtol=0, atol=2e-4)
    torch.testing.assert_close(stft.trim(again), stft.trim(sound), rtol=0, atol=2e-6)
    assert stft.trim(sound).shape == (2, frames * 256)


def test_frames_are_those_of_the_mel_spectrogram() -> None:
    stft = Stft(SETTINGS)
    sound = normal(torch.tensor([2]), (1, 20 * 256))
    magnitude = MelSpectrogram(SETTINGS).magnitude(sound)
    padded = torch.nn.functional.pad(sound[:, None], (384, 384), mode="reflect")[:, 0]
    torch.testing.assert_close(stft(padded).square().sum(2).sqrt(), magnitude)


def test_a_quarter_turn_is_imaginary() -> None:
    spectra = polar(torch.full((1, 2, 3), 2.0), torch.full((2, 3), 0.25))
    torch.testing.assert_close(
        spectra[0, 0], torch.tensor([[0.0] * 3, [2.0] * 3]), atol=1e-6, rtol=0
    )


def test_a_hop_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"hop.*divides n_fft 1024.*got 200"):
        Stft(MelSettings(hop=200))
