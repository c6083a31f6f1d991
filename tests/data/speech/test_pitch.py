"""Pitch of sounds whose pitch is known."""

import numpy as np
import numpy.typing as npt
import pytest

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.pitch import CONTOUR_SCALE, pitch_contour, track_pitch

Floats = npt.NDArray[np.float64]
RATE = 16_000
HOP = 256


def voice(frequency: Floats) -> Floats:
    """Harmonics of `frequency` [N] Hz under the envelope of two resonances."""
    phase = 2 * np.pi * np.cumsum(frequency / RATE)
    sound = np.zeros(len(frequency))
    for k in range(1, int(4000 / frequency.max()) + 1):
        at = k * frequency
        envelope = sum(1 / (1 + ((at - centre) / 150.0) ** 2) for centre in (600.0, 1500.0))
        sound += (envelope + 0.05) * np.cos(k * phase)
    return sound / float(np.abs(sound).max())


@pytest.mark.parametrize("frequency", [70.0, 126.0, 175.0, 330.0])
def test_a_steady_voice_is_found_within_a_hundredth(frequency: float) -> None:
    found = track_pitch(voice(np.full(RATE, frequency)))
    assert found.shape == (RATE // HOP,) and found.dtype == np.float32
    inside = found[3:-3]
    assert np.abs(inside / frequency - 1).max() < 0.01


def test_a_glide_is_followed_without_jumps_of_an_octave() -> None:
    frequency = 110.0 * 2.0 ** np.linspace(0, 1, 2 * RATE)
    centres = np.arange(2 * RATE // HOP) * HOP + HOP // 2
    found = track_pitch(voice(frequency))
    assert np.abs(found / frequency[centres] - 1)[3:-3].max() < 0.02


def test_noise_silence_and_nothing_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(size=RATE)
    assert (track_pitch(noise) > 0).mean() < 0.1
    assert not track_pitch(np.zeros(RATE)).any()
    assert track_pitch(np.zeros(10)).shape == (0,)


def test_pauses_are_unvoiced() -> None:
    sound = voice(np.full(2 * RATE, 140.0))
    sound[RATE // 2 : RATE] = 1e-4 * np.random.default_rng(0).normal(size=RATE // 2)
    found = track_pitch(sound)
    pause = slice(RATE // 2 // HOP + 3, RATE // HOP - 3)
    assert not found[pause].any()
    assert (found[RATE // HOP + 3 : -3] > 0).all()


def test_loudness_does_not_matter_and_frames_follow_the_hop() -> None:
    sound = voice(np.full(RATE, 200.0))
    np.testing.assert_allclose(track_pitch(0.01 * sound), track_pitch(sound), rtol=1e-5)
    assert len(track_pitch(sound, MelSettings(hop=128))) == RATE // 128


def test_a_contour_has_no_voice_in_it() -> None:
    low = np.array([0, 100, 110, 0, 120, 0], np.float32)
    contour = pitch_contour(low)
    higher = pitch_contour(1.7 * low)
    np.testing.assert_allclose(contour[:, :2], higher[:, :2], atol=1e-5)
    assert contour[4, 2] == pytest.approx(np.log(120))
    voiced = contour[:, 1] > 0
    np.testing.assert_allclose(contour[voiced, 2] + np.log(1.7), higher[voiced, 2], atol=1e-5)
    assert voiced.tolist() == [False, True, True, False, True, False]
    assert abs(contour[voiced, 0].mean()) < 1e-6
    assert contour[2, 0] - contour[1, 0] == pytest.approx(np.log(1.1) / CONTOUR_SCALE, rel=1e-5)
    assert not contour[~voiced].any()
    assert not pitch_contour(np.zeros(4, np.float32)).any()
