"""Random filters: as high as asked, smooth, each its own."""

import numpy as np
import pytest

from seqvae.data.speech.equalizer import filter_curves


def test_curves_are_as_high_as_asked_and_smooth() -> None:
    curves = filter_curves(np.random.default_rng(0), 2000, 80, 0.3)
    assert curves.shape == (2000, 80) and curves.dtype == np.float32
    assert float(np.sqrt(np.square(curves).mean())) == pytest.approx(0.3, rel=0.05)
    assert np.abs(np.diff(curves, axis=1)).max() < 0.3
    assert np.abs(curves.mean(0)).max() < 0.05
    assert not np.allclose(curves[0], curves[1])


def test_no_amount_is_no_filter() -> None:
    assert not filter_curves(np.random.default_rng(0), 3, 8, 0.0).any()
