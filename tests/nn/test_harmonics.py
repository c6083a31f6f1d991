"""The picture of harmonics: that of a real pulse train, by pitch."""

import math

import numpy as np
import pytest
import torch

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.nn.harmonics import DEPTH, HIGH, LOW, SCALE, Harmonics
from seqvae.nn.mel import MelSpectrogram

SETTINGS = MelSettings()


def shown(hertz: float) -> torch.Tensor:
    found: torch.Tensor = Harmonics(SETTINGS)(torch.tensor([[[0.0, 1.0, math.log(hertz)]]]))[0, 0]
    return found


@pytest.mark.parametrize("hertz", [80.0, 125.0, 250.0, 400.0])
def test_it_is_the_spectrum_of_pulses(hertz: float) -> None:
    time = np.arange(16_000) / SETTINGS.sample_rate
    wave = sum(np.cos(2 * np.pi * hertz * k * time) for k in range(1, int(8000 / hertz)))
    mel = MelSpectrogram(SETTINGS)(torch.tensor(wave, dtype=torch.float32)[None])[0, 20:40].mean(0)
    wanted = SCALE * ((mel - mel.max()).clamp_min(-DEPTH) + DEPTH / 2)
    assert float((shown(hertz) - wanted).abs().mean()) < 0.1
    assert int(shown(hertz)[:20].argmax()) == int(wanted[:20].argmax())


def test_what_is_unvoiced_has_none() -> None:
    network = Harmonics(SETTINGS)
    assert not network(torch.tensor([[[0.0, 0.0, 5.0], [0.3, 0.0, 0.0]]])).any()


def test_pitches_outside_of_the_table_take_its_ends() -> None:
    assert torch.equal(shown(LOW / 3), shown(LOW))
    assert torch.equal(shown(HIGH * 3), shown(HIGH))
    assert not torch.allclose(shown(LOW), shown(HIGH))
    assert not Harmonics(SETTINGS).state_dict()
