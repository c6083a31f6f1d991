import pytest
import torch

from seqvae.nn.warp import draw_factors, warp_mels


def test_factor_one_changes_nothing() -> None:
    mel = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(warp_mels(mel, torch.ones(2)), mel)


def test_bins_are_read_at_their_place_times_the_factor() -> None:
    ramp = torch.arange(8.0).expand(3, 2, 8)
    found = warp_mels(ramp, torch.tensor([0.5, 1.25, 2.0]))
    expected = torch.arange(8) * torch.tensor([0.5, 1.25, 2.0])[:, None]
    torch.testing.assert_close(found[:, 0], expected.clamp_max(7.0))
    assert torch.equal(found[:, 0], found[:, 1])


def test_factors_fill_their_range_and_repeat() -> None:
    seed = torch.tensor([5])
    factors = draw_factors(seed, 4000, 0.2)
    assert torch.equal(factors, draw_factors(seed, 4000, 0.2))
    assert not torch.equal(factors, draw_factors(seed, 4000, 0.2, stream=1))
    assert 0.8 <= float(factors.min()) < 0.801
    assert 1.199 < float(factors.max()) <= 1.2
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.01)
    assert torch.equal(draw_factors(seed, 3, 0.0), torch.ones(3))
    with pytest.raises(ValueError, match="below 1"):
        draw_factors(seed, 3, 1.0)
