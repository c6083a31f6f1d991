"""The network that reads pitch from frames."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.pitch import CONTOUR_SCALE
from seqvae.encoders.pitch import PitchConv, PitchReader
from seqvae.errors import UserError
from seqvae.nn.mel import MelSpectrogram
from seqvae.nn.warp import warp_mels

MELS = 80


def reader(*, causal: bool = False) -> PitchReader:
    torch.manual_seed(0)
    net = PitchConv(width=8, layers=1, classes=16, causal=causal).build(MELS)
    return net.eval().requires_grad_(False)


def frames_of(hertz: float, seconds: float = 0.5) -> Tensor:
    """Log-mel frames [1, T, MELS] of a voice of equal harmonics."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    sound = sum(np.cos(2 * np.pi * k * hertz * time) for k in range(1, int(3000 / hertz)))
    frames: Tensor = MelSpectrogram(MelSettings())(
        torch.tensor(0.05 * sound, dtype=torch.float32)[None]
    )
    return frames


def test_warping_frames_divides_their_pitch() -> None:
    warped = warp_mels(frames_of(200.0), torch.tensor([1.15]))[0, 10, :25]
    distance = {
        hertz: float((frames_of(hertz)[0, 10, :25] - warped).abs().mean())
        for hertz in (200.0, 200.0 / 1.15, 200.0 * 1.15)
    }
    assert min(distance, key=distance.__getitem__) == 200.0 / 1.15


def test_it_learns_the_pitch_of_voices_and_says_their_course() -> None:
    torch.manual_seed(0)
    net = PitchConv(width=32, layers=1).build(MELS)
    hertz = torch.linspace(80.0, 320.0, 25)
    x = torch.cat([frames_of(float(f)) for f in hertz])
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    voiced = torch.ones(x.shape[:2])
    voiced[:, 20:] = 0.0
    x[:, 20:] = -2.0
    log = hertz.log()[:, None].expand_as(voiced)
    pitch = torch.stack([torch.zeros_like(log), voiced, log], -1)
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    for _ in range(100):
        optimiser.zero_grad()
        net.nll(x, pitch).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    net.eval().requires_grad_(False)
    found, sounding = net.log_hertz(x)
    assert (found - log)[:, 2:17].abs().median() < 0.03
    assert (sounding == voiced).float().mean() > 0.9
    # A voice that jumps by a fifth: its course is the jump, whoever has made it.
    both = torch.cat([x[8:9, 2:17], x[14:15, 2:17]], 1)
    course = net.contour(both)[0, :, 0] * CONTOUR_SCALE
    jump = math.log(float(hertz[14] / hertz[8]))
    assert float(course[20:28].median() - course[3:11].median()) == pytest.approx(jump, abs=0.06)


def test_padding_has_no_influence() -> None:
    net = reader()
    x, lengths = torch.randn(2, 30, MELS), torch.tensor([30, 17])
    pitch = torch.rand(2, 30, 3).round() + 4.0 * torch.tensor([0.0, 0.0, 1.0])
    x[1, 17:] = math.nan
    short, alone = x[1:, :17], slice(0, 17)
    torch.testing.assert_close(net.contour(x, lengths)[1:, alone], net.contour(short))
    assert not net.contour(x, lengths)[1, 17:].any()
    torch.testing.assert_close(net.nll(x, pitch, lengths)[1:], net.nll(short, pitch[1:, :17]))


def test_causal_reading_sees_the_past_only() -> None:
    net = reader(causal=True)
    x = torch.randn(1, 20, MELS)
    later = x.clone()
    later[:, 12:] += 1.0
    before, after = net(x)[0], net(later)[0]
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:])


def test_sequences_without_a_voice_have_no_course() -> None:
    net = reader()
    assert net.output.bias is not None
    net.output.bias.data[-1] = -1e4  # nothing is voiced
    assert not net.contour(torch.randn(2, 9, MELS)).any()


def test_training_draws_other_voices_from_the_step_s_seed() -> None:
    net = reader().train()
    x = torch.randn(2, 12, MELS)
    pitch = torch.stack([torch.zeros(2, 12), torch.ones(2, 12), torch.full((2, 12), 5.0)], -1)
    costs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        costs.append(net.nll(x, pitch))
    torch.testing.assert_close(costs[0], costs[1], rtol=0, atol=0)
    assert not torch.allclose(costs[0], costs[2])


@pytest.mark.parametrize(
    ("change", "words"),
    [({"low": 700.0}, "no range"), ({"classes": 2}, "classes"), ({"kernel": 4}, "odd number")],
)
def test_sizes_are_checked(change: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        PitchConv(**change)  # type: ignore[arg-type]
