import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.nn.mel import MelSpectrogram
from seqvae.ops.philox import uniform
from seqvae.vocoders import GriffinLim
from seqvae.vocoders.griffin_lim import griffin_lim, nnls
from seqvae.vocoders.stft import FastStft
from tests.vocoders.sounds import voice

SETTINGS = MelSettings()
MEL = MelSpectrogram(SETTINGS)


def mel_of(seconds: float = 1.0) -> Tensor:
    frames: Tensor = MEL(voice(seconds)[None])
    return frames


class Centred:
    """The framing of torchaudio: the sound is padded by half a frame."""

    def __init__(self, length: int) -> None:
        self.window, self.length = torch.hann_window(1024), length

    def __call__(self, sound: Tensor) -> Tensor:
        """Spectra of a sound."""
        spectra = torch.stft(sound, 1024, 256, window=self.window, return_complex=True)
        return torch.view_as_real(spectra).permute(0, 2, 3, 1)

    def inverse(self, spectra: Tensor) -> Tensor:
        """Sound of spectra."""
        numbers = torch.view_as_complex(spectra.permute(0, 3, 1, 2).contiguous())
        return torch.istft(numbers, 1024, 256, window=self.window, length=self.length)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_it_is_the_algorithm_of_torchaudio(momentum: float) -> None:
    functional = pytest.importorskip("seqvae.nn.torchaudio_guard").torchaudio().functional
    sound = voice(0.5)[None]
    transform = Centred(sound.shape[1])
    magnitude = transform(sound).square().sum(2).sqrt()
    expected = functional.griffinlim(
        magnitude.transpose(1, 2),
        window=transform.window,
        n_fft=1024,
        hop_length=256,
        win_length=1024,
        power=1.0,
        n_iter=8,
        momentum=momentum,
        length=sound.shape[1],
        rand_init=False,
    )
    # torchaudio's start without noise is 1 + 0i.
    start = torch.stack((magnitude, torch.zeros_like(magnitude)), 2)
    found = griffin_lim(magnitude, start, transform, 8, momentum)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_more_rounds_come_nearer() -> None:
    stft = FastStft(SETTINGS)
    magnitude = MEL.magnitude(voice()[None])
    start = stft.polar(magnitude, uniform(torch.tensor([0]), magnitude.shape[1:])[None])

    def distance(rounds: int) -> float:
        made = stft(griffin_lim(magnitude, start, stft, rounds, 0.99)).square().sum(2).sqrt()
        return float((made - magnitude).norm() / magnitude.norm())

    assert distance(32) < distance(8) < distance(0) / 2
    assert distance(32) < 0.12


@pytest.mark.parametrize("inverse", ["nnls", "pseudo"])
def test_the_sound_has_the_frames_it_was_made_of(inverse: str) -> None:
    mel = mel_of()
    sound = GriffinLim(inverse=inverse).build(SETTINGS)(mel)  # type: ignore[arg-type]
    assert sound.shape == (1, mel.shape[1] * 256)
    assert sound.isfinite().all()
    # Where there is sound; pseudo-inverse and phase leave some of it in the gaps between harmonics.
    assert (MEL(sound) - mel)[mel > -4.0].abs().mean() < 0.25


def test_the_same_seed_gives_the_same_sound_in_any_company() -> None:
    vocoder = GriffinLim(iterations=4).build(SETTINGS)
    mel = mel_of()
    both = vocoder(torch.cat([mel, mel - 1.0]))
    torch.testing.assert_close(both[:1], vocoder(mel), rtol=1e-5, atol=1e-7)
    other = vocoder(mel, vocoder.draw(torch.tensor([1]), mel.shape[1]))
    assert (other - vocoder(mel)).abs().max() > 0.01


def test_the_noise_of_a_chunk_is_that_of_its_place() -> None:
    vocoder = GriffinLim().build(SETTINGS)
    seed = torch.tensor([5])
    whole = vocoder.draw(seed, 20)
    assert whole.shape == (20, 513) and float(whole.min()) >= 0.0 and float(whole.max()) < 1.0
    assert torch.equal(whole[7:], vocoder.draw(seed, 13, first=7))


def test_least_squares_come_nearer_than_the_pseudo_inverse() -> None:
    vocoder = GriffinLim(inverse="pseudo").build(SETTINGS)
    mel = mel_of().exp()
    start = vocoder.magnitude(mel.log())
    better = nnls(mel, vocoder.filters, start, 60)

    def error(magnitude: Tensor) -> float:
        return float((magnitude @ vocoder.filters.T - mel).square().sum())

    assert better.min() >= 0.0
    assert error(better) < error(start)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_frames_are_enough(frames: int) -> None:
    mel = torch.full((1, frames, 80), -11.0)
    sound = GriffinLim(iterations=4).build(SETTINGS)(mel)
    assert sound.shape == (1, frames * 256)
    assert sound.abs().max() < 1e-3


@pytest.mark.parametrize(
    ("field", "value"), [("iterations", -1), ("iterations", 10**9), ("momentum", 1.0)]
)
def test_what_does_not_converge_or_end_is_refused(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{field} must .* got {value}"):
        GriffinLim(**{field: value})  # type: ignore[arg-type]
