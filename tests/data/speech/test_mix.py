"""Noise is what it is called, at the ratio that was asked for, and never in the way of a resume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seqvae.data.speech import noises
from seqvae.data.speech.audio import write_audio
from seqvae.data.speech.energy import energy_of
from seqvae.data.speech.loudness import LOUDNESS
from seqvae.data.speech.mix import Mixer, NoiseMix, mixed
from seqvae.errors import UserError
from tests.data.speech.memory_store import MemoryStore

RATE = 16_000
SILENT = NoiseMix(white=False, pink=False, shaped=False, hum=False, babble=False)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore(2.0, 1.0, 3.0, 0.5)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def power(x: np.ndarray) -> float:
    return float(np.mean(np.square(x), dtype=np.float64))


@pytest.mark.parametrize("make", [noises.white, noises.pink, noises.shaped, noises.hum])
@pytest.mark.parametrize("samples", [1, 100, 32_001])
def test_noise_has_its_length_and_unit_power_and_repeats(make: noises.Maker, samples: int) -> None:
    noise = make(samples, RATE, rng(1))
    assert noise.shape == (samples,)
    assert noise.dtype == np.float32
    if samples > 1:
        assert power(noise) == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_array_equal(noise, make(samples, RATE, rng(1)))
    assert samples == 1 or not np.array_equal(noise, make(samples, RATE, rng(2)))


@pytest.mark.parametrize(("make", "slope"), [(noises.white, 0.0), (noises.pink, -3.01)])
def test_the_colour_of_noise(make: noises.Maker, slope: float) -> None:
    spectrum = np.abs(np.fft.rfft(make(1 << 18, RATE, rng()))) ** 2
    frequencies = np.fft.rfftfreq(1 << 18, 1 / RATE)
    bands = [spectrum[(frequencies >= f) & (frequencies < 2 * f)].mean() for f in (100, 800, 3200)]
    decibels = 10 * np.log10(bands)
    assert decibels[1] - decibels[0] == pytest.approx(3 * slope, abs=0.6)
    assert decibels[2] - decibels[1] == pytest.approx(2 * slope, abs=0.6)


def test_hum_is_of_the_mains() -> None:
    spectrum = np.abs(np.fft.rfft(noises.hum(RATE * 4, RATE, rng(3)))) ** 2
    frequencies = np.fft.rfftfreq(RATE * 4, 1 / RATE)
    assert spectrum[frequencies < 1100].sum() > 0.999 * spectrum.sum()
    loudest = frequencies[spectrum.argmax()]
    assert min(abs(loudest / base - round(loudest / base)) for base in (50.0, 60.0)) < 0.02


def test_babble_is_other_recordings(store: MemoryStore) -> None:
    noise = noises.babble(store, 40_000, 2, rng())
    assert noise.shape == (40_000,)
    assert power(noise) == pytest.approx(1.0, rel=1e-3)
    # The recording that is spoken over is not among them.
    alone = noises.babble(MemoryStore(1.0, 1.0), 16_000, 0, rng())
    other = noises.unit(store.sounds[1][: len(alone)])
    assert abs(np.mean(alone[:15_000] * other[:15_000])) > 0.3


@pytest.mark.parametrize("ratio", [-5.0, 0.0, 17.5])
@pytest.mark.parametrize("make", [noises.white, noises.shaped])
def test_the_ratio_is_exact_where_somebody_speaks(
    ratio: float, make: noises.Maker, store: MemoryStore
) -> None:
    spoken = store.sounds[0][:30_000]
    # Silence in the middle must not count.
    clean = np.concatenate([spoken, np.zeros(20_000, np.float32), spoken])
    noise = make(len(clean), RATE, rng(5))
    mixture = mixed(clean, noise, ratio, RATE)
    moments = energy_of(clean, RATE).speech()
    flags = np.repeat(np.append(moments, False) | np.append(False, moments), 160)[: len(clean)]
    flags = np.pad(flags, (0, len(clean) - len(flags)))
    assert 0.2 < flags.mean() < 0.8
    found = 10 * np.log10(power(clean[flags]) / power((mixture - clean)[flags]))
    assert found == pytest.approx(ratio, abs=0.02)


def test_noise_in_a_pause_is_as_loud_as_around_usual_speech() -> None:
    pause = np.full(16_000, 1e-5, np.float32)
    mixture = mixed(pause, noises.white(16_000, RATE, rng()), 20.0, RATE)
    assert power(mixture) ** 0.5 == pytest.approx(LOUDNESS / 10, rel=0.01)


def test_a_mixture_is_read_at_the_usual_loudness_and_repeats(store: MemoryStore) -> None:
    mixer = Mixer(NoiseMix(probability=1.0), store)
    clean = store.audio(0)
    for seed in range(12):
        noisy = mixer.mix(clean, 0, rng(seed))
        assert noisy.shape == clean.shape
        assert np.abs(noisy).max() <= 1.0
        assert energy_of(noisy, RATE).loudness() == pytest.approx(LOUDNESS, rel=0.05)
        np.testing.assert_array_equal(noisy, mixer.mix(clean, 0, rng(seed)))


def test_recorded_noise_is_taken_from_its_folder(store: MemoryStore, tmp_path: Path) -> None:
    tone = 0.1 * np.sin(2 * np.pi * 440 / 8000 * np.arange(16_000)).astype(np.float32)
    (tmp_path / "inside").mkdir()
    write_audio(tmp_path / "inside" / "tone.wav", tone, 8000)
    (tmp_path / "notes.txt").write_text("not a sound", encoding="utf-8")
    config = replace(SILENT, probability=1.0, recordings=str(tmp_path))
    noise = Mixer(config, store).noise(48_000, 0, rng())
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    # Resampled to 16 kHz, and repeated: the file has 2 s.
    assert abs(spectrum.argmax() / 3.0 - 440) < 2
    assert power(noise) == pytest.approx(1.0, rel=0.02)
    both = Mixer(replace(config, white=True), store)
    flat = [np.ptp(np.abs(np.fft.rfft(both.noise(4000, 0, rng(s))))) for s in range(20)]
    assert 4 <= sum(x < 500 for x in flat) <= 16


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"probability": 1.5}, "noise probability: 1.5 is not from 0 to 1"),
        ({"snr": (10.0, 5.0)}, "noise snr: 10 to 5 dB is no range"),
        ({"snr": (float("nan"), 5.0)}, "noise snr"),
        ({"probability": 0.5, **vars(SILENT) | {"probability": 0.5}}, "no kind of noise"),
    ],
)
def test_settings_that_mix_nothing_are_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        NoiseMix(**config)  # type: ignore[arg-type]


def test_recordings_that_cannot_be_read_are_named(store: MemoryStore, tmp_path: Path) -> None:
    def mixer(folder: Path) -> Mixer:
        return Mixer(NoiseMix(probability=1.0, recordings=str(folder)), store)

    with pytest.raises(UserError, match="not a folder"):
        mixer(tmp_path / "absent")
    with pytest.raises(UserError, match="no sound file"):
        mixer(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"broken\.wav"):
        mixer(tmp_path)
    (tmp_path / "broken.wav").unlink()
    write_audio(tmp_path / "silence.wav", np.zeros(8000, np.float32), 8000)
    with pytest.raises(UserError, match="nothing but silence"):
        mixer(tmp_path)
