"""What alterations do to a sound, and the audio benchmark from an untrained model to the ledger."""

import numpy as np
import pytest

from benchmarks import altered_sound
from benchmarks.anomaly_audio import NORMAL, Normality, table

RATE = 16_000
TIME = np.arange(RATE) / RATE
HIGH = (0.3 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
LOW = (0.3 * np.sin(2 * np.pi * 200 * TIME)).astype(np.float32)


def loudest(samples: altered_sound.Floats, rate: int) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float(np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle))


def test_each_alteration_does_what_it_says() -> None:
    made = {
        name: alter(HIGH, LOW, 0)
        for name, alter in altered_sound.alterations(RATE, [LOW, HIGH]).items()
    }
    assert (made["reversed"].samples == HIGH[::-1]).all()
    assert np.abs(made["clipped"].samples).max() == pytest.approx(0.03, rel=1e-3)
    assert len(made["wrong rate"].samples) == RATE and made["wrong rate"].seconds == 0.8
    # Four semitones up, as long as before.
    pitch = made["pitch up"]
    assert pitch.seconds == pytest.approx(1.0, abs=0.01)
    assert loudest(pitch.samples, pitch.rate) == pytest.approx(440 * 2 ** (1 / 3), rel=0.01)
    spliced = made["spliced"].samples
    assert loudest(spliced[4800:11200], RATE) == pytest.approx(200, abs=10)
    assert (spliced[:4800] == HIGH[:4800]).all() and (spliced[11200:] == HIGH[11200:]).all()
    for name, level in (("tone", altered_sound.TONE_DB), ("babble", altered_sound.BABBLE_DB)):
        added = made[name].samples - HIGH
        ratio = 10 * np.log10(np.mean(HIGH**2) / np.mean(added**2))
        assert ratio == pytest.approx(level, abs=0.1)


def test_normality_is_a_mahalanobis_distance() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(5000, 3)) * [1.0, 10.0, 0.1]
    far = Normality(rows).distance(np.array([[0.0, 20, 0], [0, 0, 0.5]]))
    assert far == pytest.approx([4, 25], rel=0.1)


def test_the_mean_is_over_alterations() -> None:
    normal, odd = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    rows = table({NORMAL: {"kl": normal}, "tone": {"kl": odd}, "clipped": {"kl": normal}})
    assert rows == {"kl": {"tone": 1.0, "clipped": 0.5, "mean": 0.75}}
