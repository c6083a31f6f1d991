import numpy as np
import pytest

from seqvae.nn.resample import ZEROS, resample
from seqvae.serving.resample import resample as without_torch
from seqvae.tasks.resampled import REACH, resampled


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [(8000, 16000), (44100, 16000), (96000, 16000), (16000, 48000), (16000, 22050), (44101, 16000)],
)
@pytest.mark.parametrize("size", [100, 7_000, 200_000])
def test_blocks_give_what_the_whole_gives(rate: int, wanted: int, size: int) -> None:
    samples = np.random.default_rng(size).normal(size=200_001).astype(np.float32)
    whole = resample(samples, rate, wanted)
    blocks = [samples[i : i + size] for i in range(0, len(samples), size)]
    found = list(resampled(blocks, rate, wanted))
    np.testing.assert_allclose(np.concatenate(found), whole, atol=2e-5)
    found = list(resampled(blocks, rate, wanted, without_torch))
    whole = without_torch(samples, rate, wanted)
    np.testing.assert_allclose(np.concatenate(found), whole, atol=2e-5)


def test_the_context_is_that_of_the_filter() -> None:
    assert REACH == 2 * ZEROS


def test_the_same_rate_is_left_alone() -> None:
    blocks = [np.ones(3, np.float32), np.zeros(2, np.float32)]
    assert list(resampled(blocks, 8000, 8000)) == blocks


@pytest.mark.parametrize("count", [0, 1, 5])
def test_short_sounds(count: int) -> None:
    found = [np.zeros(0, np.float32), *resampled([np.ones(count, np.float32)], 8000, 16000)]
    assert len(np.concatenate(found)) == 2 * count
