import math

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.pitch import track_pitch
from seqvae.vocoders.source import pulse_turns, pulses

SETTINGS = MelSettings()


def contour(frames: int = 60) -> tuple[Tensor, Tensor]:
    """A gliding pitch in Hz, as its logarithm, and what is voiced of it."""
    hertz = 150.0 + 15.0 * torch.sin(torch.arange(frames) / 12.0)
    voiced = torch.ones(frames)
    voiced[:6] = voiced[30:36] = 0.0
    return hertz.log()[None], voiced[None]


def test_pulses_have_the_pitch_they_are_given() -> None:
    log_hertz, voiced = contour()
    voiced[:] = 1.0
    sound = pulses(log_hertz, pulse_turns(log_hertz, voiced, SETTINGS), SETTINGS, 0)
    assert sound.shape == (1, 60 * 256)
    # A train of pulses is also one of half the pitch, and at its end the tracker may say so.
    tracked = track_pitch(sound[0].numpy())[4:-6]
    wanted = log_hertz.exp()[0, 4:-6].numpy()
    assert np.abs(np.log(tracked / wanted)).max() < 0.002


def test_their_power_is_one_at_any_pitch_and_no_harmonic_is_folded_back() -> None:
    for hertz in (70.0, 200.0, 431.0):
        log_hertz = torch.full((1, 60), math.log(hertz))
        sound = pulses(log_hertz, pulse_turns(log_hertz, torch.ones(1, 60), SETTINGS), SETTINGS, 0)
        assert float(sound.square().mean()) == pytest.approx(1.0, abs=0.12)
        spectrum = torch.fft.rfft(sound[0] * torch.hann_window(sound.shape[1])).abs()
        frequency = torch.fft.rfftfreq(sound.shape[1], 1 / 16_000)
        harmonic = (frequency / hertz - (frequency / hertz).round()).abs() * hertz < 8.0
        between = spectrum[~harmonic & (frequency > 40.0) & (frequency < 7000.0)]
        assert float(between.max()) < 0.02 * float(spectrum[harmonic].max())


def test_a_stretch_begins_with_a_pulse_whatever_came_before() -> None:
    log_hertz, voiced = contour()
    turns = pulse_turns(log_hertz, voiced, SETTINGS)
    assert turns[0, 6] == 0.0 and turns[0, 36] == 0.0
    other = log_hertz.clone()
    other[:, :20] += 0.1
    torch.testing.assert_close(pulse_turns(other, voiced, SETTINGS)[:, 36:], turns[:, 36:])
    sound = pulses(log_hertz, turns, SETTINGS, 0)[0]
    assert float(sound[36 * 256 + 128]) == pytest.approx(float(sound.max()), rel=0.2)


@pytest.mark.parametrize("cut", [10, 33, 50])
def test_a_sound_goes_on_where_it_was_cut(cut: int) -> None:
    log_hertz, voiced = contour()
    turns = pulse_turns(log_hertz, voiced, SETTINGS)
    rest = pulse_turns(log_hertz[:, cut:], voiced[:, cut:], SETTINGS, turns[:, cut])
    torch.testing.assert_close(rest, turns[:, cut:])
    whole = pulses(log_hertz, turns, SETTINGS, 96)
    piece = pulses(log_hertz[:, cut:], rest, SETTINGS, 96)
    # Half a frame before its first centre a piece does not know where the pitch came from.
    start = 96 + 128
    torch.testing.assert_close(piece[:, start:], whole[:, cut * 256 + start :], rtol=0, atol=2e-3)


def test_rows_do_not_know_of_each_other() -> None:
    log_hertz, voiced = contour()
    both = pulse_turns(torch.cat([log_hertz, log_hertz + 0.3]), voiced.expand(2, -1), SETTINGS)
    torch.testing.assert_close(both[:1], pulse_turns(log_hertz, voiced, SETTINGS))
