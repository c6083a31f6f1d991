"""Speech is found against the noise around it; pauses are taken away, and long recordings are cut in them."""

import numpy as np
import pytest

from seqvae.data.speech.clipping import ClipMeter
from seqvae.data.speech.energy import EnergyMeter, Floats, energy_of
from seqvae.data.speech.loudness import LOUDNESS, PEAK, gain_of, scaled
from seqvae.data.speech.trim import Piece, Trim, joined, pieces_of

RATE = 16_000


def vowel(seconds: float, pitch: float = 200.0, rate: int = RATE) -> Floats:
    """A hum without a pause."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = np.arange(pitch, 3500.0, pitch)
    sound = sum(np.sin(2 * np.pi * h * time + h) / h for h in harmonics)
    return np.asarray(0.3 * sound / np.abs(sound).max(), np.float32)


def recording(*seconds: float, noise: float = 1e-4, rate: int = RATE) -> Floats:
    """Pauses and vowels in turn, in noise, beginning with a pause."""
    parts = [
        vowel(length, rate=rate) if i % 2 else np.zeros(round(length * rate))
        for i, length in enumerate(seconds)
    ]
    sound: Floats = np.concatenate(parts)
    hiss = noise * np.random.default_rng(0).normal(size=len(sound))
    return np.asarray(sound + hiss, np.float32)


def times(sound: Floats, trim: Trim, longest: float | None = None, rate: int = RATE) -> list[Piece]:
    """Spans of what is kept, in seconds."""
    pieces = pieces_of(energy_of(sound, rate), len(sound), rate, trim, longest)
    return [[(start / rate, stop / rate) for start, stop in piece] for piece in pieces]  # type: ignore[misc]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_blocks_measure_what_the_whole_does(rate: int) -> None:
    sound = recording(0.1, 0.5, 0.2, rate=rate)
    meter = EnergyMeter(rate)
    for block in np.split(sound, [1, 7, 500, 501, 4000]):
        meter.update(block)
    np.testing.assert_array_equal(meter.finish().power, energy_of(sound, rate).power)


@pytest.mark.parametrize("count", [0, 1, 159, 160, 161, 320, 321, 4000])
def test_a_moment_every_10_ms(count: int) -> None:
    energy = energy_of(np.ones(count, np.float32), RATE)
    assert len(energy) == max(min(count, 1), -(-count // 160) - 1)
    assert len(energy.speech()) == len(energy)


def test_power_is_that_of_the_sound_above_the_hum() -> None:
    time = np.arange(RATE) / RATE
    sound = 0.5 + 0.3 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 1000 * time)
    power = energy_of(sound.astype(np.float32), RATE).power
    np.testing.assert_allclose(power, 0.1**2 / 2, rtol=0.02)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3, 1e-2])
@pytest.mark.parametrize("level", [0.02, 1.0])
def test_speech_is_found_in_any_noise(noise: float, level: float) -> None:
    sound = level * recording(0.5, 1.0, 0.5, noise=noise)
    speech = energy_of(sound, RATE).speech()
    expected = np.zeros(len(speech), bool)
    expected[50:150] = True
    assert (speech != expected).sum() <= 4
    assert gain_of(energy_of(sound, RATE)) == pytest.approx(
        LOUDNESS / (level * np.sqrt(np.mean(np.square(vowel(1.0)))) + 1e-9), rel=0.1
    )


def test_what_has_no_pauses_is_all_speech() -> None:
    steady = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * 0.01
    assert energy_of(steady, RATE).speech().all()
    assert times(steady, "gaps") == [[(0.0, 1.0)]]


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.full(RATE, 0.5), np.zeros(0)])
def test_silence(sound: Floats) -> None:
    energy = energy_of(sound.astype(np.float32), RATE)
    assert energy.silent and energy.loudness() == 0.0 and gain_of(energy) == 1.0
    assert pieces_of(energy, len(sound), RATE, "none", 10.0) == []


def test_gaps_and_ends() -> None:
    sound = recording(0.5, 1.0, 0.2, 1.0, 0.8, 1.0, 0.6)
    assert times(sound, "none") == [[(0.0, 5.1)]]
    ((ends,),) = times(sound, "ends")
    assert ends == pytest.approx((0.4, 4.6), abs=0.03)
    ((first, second),) = times(sound, "gaps")
    assert first == pytest.approx((0.4, 2.85), abs=0.03)
    assert second == pytest.approx((3.35, 4.6), abs=0.03)


def test_a_click_is_no_speech() -> None:
    sound = recording(1.0, 1.0, 1.0)
    sound[4000:4080] = 0.9
    ((ends,),) = times(sound, "ends")
    assert ends == pytest.approx((0.9, 2.1), abs=0.03)


@pytest.mark.parametrize("trim", ["none", "ends", "gaps"])
def test_long_recordings_are_cut_in_their_pauses(trim: Trim) -> None:
    lengths = [0.4, 2.0, 0.4, 2.5, 0.4, 2.2, 0.4, 3.0, 0.4, 1.0, 0.4]
    sound = recording(*lengths)
    pieces = times(sound, trim, longest=4.0)
    pauses = np.cumsum([0.0, *lengths]).reshape(-1, 2)
    assert all(4.0 >= piece[-1][1] - piece[0][0] > 0.5 for piece in pieces)
    cuts = [edge for piece in pieces for edge in (piece[0][0], piece[-1][1])]
    for cut in cuts:
        assert ((pauses[:, 0] - 0.03 <= cut) & (cut <= pauses[:, 1] + 0.03)).any(), cut
    assert cuts == sorted(cuts)
    if trim == "none":
        assert sum(stop - start for ((start, stop),) in pieces) == pytest.approx(len(sound) / RATE)


def test_what_has_no_pause_is_cut_all_the_same() -> None:
    pieces = times(vowel(10.0), "ends", longest=3.0)
    assert all(piece[-1][1] - piece[0][0] <= 3.0 for piece in pieces)
    assert sum(stop - start for ((start, stop),) in pieces) == pytest.approx(10.0, abs=0.05)


def test_minutes_of_silence_are_no_piece() -> None:
    pieces = times(recording(0.5, 1.0, 60.0, 1.0, 0.5), "ends", longest=5.0)
    assert [piece[0][0] for piece in pieces] == pytest.approx([0.4, 61.4], abs=0.05)


def test_joining_fades_one_span_into_the_other() -> None:
    ramp = np.arange(1000, dtype=np.float32)
    np.testing.assert_array_equal(joined(ramp, [(10, 900)], RATE), ramp[10:900])
    np.testing.assert_array_equal(joined(ramp, [(110, 900)], RATE, 100), ramp[10:800])
    ones = np.ones(1000, np.float32)
    found = joined(ones, [(0, 400), (500, 900)], RATE)
    assert len(found) == 800 - 80
    np.testing.assert_allclose(found, 1.0, atol=1e-6)


def test_clicks_are_clipped_not_followed() -> None:
    sound = recording(0.2, 1.0, 0.2)
    gain = gain_of(energy_of(sound, RATE))
    sound[5000] = 1.0
    assert gain_of(energy_of(sound, RATE)) == pytest.approx(gain, rel=0.05)
    assert float(np.abs(scaled(sound, 10.0)).max()) == pytest.approx(PEAK)


def meter_of(sound: Floats, *cuts: int) -> float:
    meter = ClipMeter()
    for block in np.split(sound.reshape(len(sound), -1), cuts):
        meter.update(block)
    return meter.share


@pytest.mark.parametrize("turned_down", [1.0, 0.3])
def test_clipping_is_seen_however_loud(turned_down: float) -> None:
    sound = turned_down * np.clip(8.0 * vowel(1.0), -1.0, 1.0)
    beyond = np.mean(np.abs(8.0 * vowel(1.0)) >= 1.0)
    assert meter_of(sound, 1000, 9000) == pytest.approx(beyond, abs=0.02)
    stereo = np.stack([0.5 * vowel(1.0), sound], 1)
    assert meter_of(stereo) == pytest.approx(beyond / 2, abs=0.02)


@pytest.mark.parametrize("pitch", [60.0, 120.0, 440.0])
def test_what_is_not_clipped_has_no_plateaus(pitch: float) -> None:
    assert meter_of(vowel(1.0, pitch) / 0.3) < 0.001
    assert meter_of(np.zeros(1000, np.float32)) == 0.0
    assert ClipMeter().share == 0.0
