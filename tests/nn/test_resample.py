"""Sound at another rate keeps its tones, gets no false ones, and its length is exact."""

import math

import numpy as np
import pytest
import torch

import seqvae.nn.resample as module
from seqvae.errors import UserError
from seqvae.nn.resample import resample


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


# 44,101 Hz has no common period with 16 kHz that would fit into memory.
@pytest.mark.parametrize("rate", [8000, 11_025, 15_999, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_a_tone_stays_itself(rate: int) -> None:
    out = resample(tone(1000.0, rate), rate, 16_000)
    assert out.shape == (16_000,) and out.dtype == np.float32
    middle = slice(200, -200)
    np.testing.assert_allclose(out[middle], tone(1000.0, 16_000)[middle], atol=2e-5)


@pytest.mark.parametrize("hertz", [8400.0, 9000.0, 12_000.0, 20_000.0])
def test_what_the_lower_rate_cannot_hold_is_gone(hertz: float) -> None:
    """torchaudio's own filter leaves a sixth of a tone at 9 kHz: it would be heard at 7 kHz."""
    out = resample(tone(hertz, 48_000), 48_000, 16_000)[400:-400]
    assert 20 * math.log10(float(np.abs(out).max())) < -50.0


@pytest.mark.parametrize("hertz", [50.0, 3000.0, 7000.0])
def test_what_it_can_hold_stays(hertz: float) -> None:
    out = resample(tone(hertz, 48_000), 48_000, 16_000)[400:-400]
    assert float(np.abs(out).max()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("count", [0, 1, 2, 159, 160, 441, 1000])
@pytest.mark.parametrize("rates", [(44_100, 16_000), (16_000, 44_100), (16_001, 16_000), (8, 8)])
def test_lengths(count: int, rates: tuple[int, int]) -> None:
    rate, wanted = (max(1000, value) for value in rates)
    out = resample(np.zeros((2, count), np.float32), rate, wanted)
    assert out.shape == (2, math.ceil(count * wanted / rate))


@pytest.mark.parametrize(("down", "up"), [(3, 1), (1, 2), (441, 160), (160, 441)])
def test_both_ways_of_filtering_agree(down: int, up: int) -> None:
    wave = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5003)).astype(np.float32))
    torch.testing.assert_close(
        module._direct(wave, down, up), module._filter(down, up)(wave), atol=5e-5, rtol=0
    )


@pytest.mark.parametrize("rate", [0, -8000, 999, 768_001])
def test_rates_that_no_sound_has(rate: int) -> None:
    with pytest.raises(UserError, match=f"sample rate {rate} Hz"):
        resample(np.zeros(10, np.float32), rate, 16_000)
