"""What holds for each vocoder that is trained."""

import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.nn.mel import MelSpectrogram
from seqvae.vocoders import GriffinLim, Istft, LinearHead, Vocoder, VocoderChoice, exportable
from seqvae.vocoders.envelope import Envelope
from tests.vocoders.sounds import voice

SETTINGS = MelSettings()
SMALL: list[VocoderChoice] = [
    Istft(width=16, blocks=2, pitch_width=8, pitch_layers=1),
    Istft(width=16, blocks=2, pitch_width=8, pitch_layers=1, parts=1, ahead=0),
    LinearHead(width=16, blocks=2, iterations=3),
    GriffinLim(iterations=3),
]


def name_of(config: VocoderChoice) -> str:
    return f"{type(config).__name__}{getattr(config, 'parts', '')}"


@pytest.fixture(params=SMALL, ids=name_of)
def vocoder(request: pytest.FixtureRequest) -> Vocoder:
    torch.manual_seed(0)
    built: Vocoder = request.param.build(SETTINGS).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
    return built


def frames_of(seconds: float = 0.5) -> Tensor:
    mel: Tensor = MelSpectrogram(SETTINGS)(voice(seconds)[None])
    return mel


def decibels(made: Tensor, wanted: Tensor) -> float:
    """How far the difference of two sounds is below them."""
    error = (made - wanted).detach()
    return float(10 * (wanted.detach().square().sum() / error.square().sum()).log10())


@pytest.mark.parametrize("frames", [1, 2, 31])
def test_sound_has_a_hop_for_each_frame(vocoder: Vocoder, frames: int) -> None:
    sound = vocoder(frames_of()[:, :frames])
    assert sound.shape == (1, frames * 256) and sound.dtype == torch.float32
    assert sound.isfinite().all()


def test_the_noise_decides_and_rows_are_alone(vocoder: Vocoder) -> None:
    mel = frames_of()
    count = mel.shape[1]
    first, second = (vocoder.draw(torch.tensor([seed]), count) for seed in (0, 1))
    alone = vocoder(mel)
    torch.testing.assert_close(vocoder(mel, first), alone)
    assert (vocoder(mel, second) - alone).abs().max() > 1e-4 * alone.abs().max()
    rows = vocoder(torch.cat([mel, mel - 2.0]), torch.stack([first, second]))
    assert decibels(rows[:1], alone) > 60.0


def test_the_form_to_export_sounds_the_same(vocoder: Vocoder) -> None:
    mel = frames_of(1.0)
    assert decibels(exportable(vocoder)(mel), vocoder(mel)) > 80.0


def test_nothing_is_too_loud_to_be_a_number(vocoder: Vocoder) -> None:
    mel = frames_of()
    for value in (20.0, -100.0):
        assert vocoder(torch.full_like(mel, value)).isfinite().all()


def test_an_untrained_network_already_has_the_right_loudness() -> None:
    torch.manual_seed(0)
    mel = frames_of(1.0)
    vocoder = Istft(width=16, blocks=1).build(SETTINGS).eval()
    made = MelSpectrogram(SETTINGS)(vocoder(mel))
    assert float((made - mel)[:, 4:-4].detach().mean().abs()) < 1.0


def test_the_envelope_of_flat_frames_is_flat() -> None:
    envelope = Envelope(SETTINGS, 1024)
    magnitude = torch.full((1, 3, 513), 0.7)
    mel = torch.log(magnitude @ MelSpectrogram(SETTINGS).filters)
    torch.testing.assert_close(envelope(mel).exp()[..., 1:-1], magnitude[..., 1:-1])
    fine = Envelope(SETTINGS, 256)(mel).exp()
    torch.testing.assert_close(fine[..., 1:-1], torch.full((1, 3, 127), 0.35))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Istft, "width", 0),
        (Istft, "blocks", 10**6),
        (Istft, "kernel", 0),
        (Istft, "ahead", 99),
        (Istft, "parts", 0),
        (Istft, "pitch_width", 10**9),
        (LinearHead, "ahead", -1),
        (LinearHead, "iterations", -1),
    ],
)
def test_what_cannot_be_built_is_refused(
    kind: type[Istft] | type[LinearHead], field: str, value: int
) -> None:
    with pytest.raises(UserError, match=rf"{field.removeprefix('pitch_')}.*{value}"):
        kind(**{field: value})


def test_parts_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match="n_fft: 1024 cannot be divided into 3 parts"):
        Istft(parts=3).build(SETTINGS)
