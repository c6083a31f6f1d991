"""The engine's resampler is that of training."""

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.nn.resample import resample as torch_resample
from seqvae.serving.resample import resample


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [
        (8000, 16000),
        (22050, 16000),
        (44100, 16000),
        (48000, 16000),
        (16000, 44100),
        (96000, 16000),
        (44101, 16000),
    ],
)
@pytest.mark.parametrize("length", [1, 7, 5000])
def test_it_is_the_filter_of_training(rate: int, wanted: int, length: int) -> None:
    samples = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    found, truth = resample(samples, rate, wanted), torch_resample(samples, rate, wanted)
    assert found.dtype == np.float32 and found.shape == truth.shape
    # torchaudio makes its weights in float32.
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_what_needs_no_work_stays() -> None:
    samples = np.ones(3, np.float32)
    assert resample(samples, 16000, 16000) is samples
    assert resample(samples[:0], 8000, 16000).shape == (0,)


@pytest.mark.parametrize("rate", [0, 999, 10**6, True])
def test_rates_that_no_sound_has_are_refused(rate: int) -> None:
    with pytest.raises(UserError, match="sample rate"):
        resample(np.ones(3, np.float32), rate, 16000)
