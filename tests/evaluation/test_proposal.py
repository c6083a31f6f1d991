"""Likelihoods of models whose posteriors are too narrow, sampled from wider ones."""

import pytest
import torch

from seqvae.evaluation.likelihood import importance_weighted, widened
from seqvae.evaluation.proposal import WIDTHS, best_width
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.posteriors.low_rank import CorrelatedGaussian
from tests.linear_gaussian import LinearGaussian
from tests.tiny import tiny_batch, tiny_model

RATIOS = [4.0, 1.0, 0.2]
NARROWER = 3.0


def test_a_wider_proposal_mends_a_narrow_posterior() -> None:
    truth = LinearGaussian(RATIOS, widen=-NARROWER)
    batch = truth.batch(200)
    exact = truth.nll(batch)
    plain = importance_weighted(truth.model, batch, 500)
    assert float((plain - exact).mean()) > 0.3
    wide = importance_weighted(truth.model, batch, 500, widen=NARROWER)
    torch.testing.assert_close(wide, exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("narrower", [0.0, 1.0, 3.0])
def test_the_best_width_is_near_the_one_that_is_missing(narrower: float) -> None:
    truth = LinearGaussian(RATIOS, widen=-narrower)
    assert narrower in WIDTHS
    # Of estimates that differ by hundredths of a nat any may be least.
    assert abs(best_width(truth.model, [truth.batch(100)]) - narrower) <= 0.5


def test_nothing_is_made_wider_than_the_prior_or_narrower() -> None:
    log_variance = torch.tensor([[-5.0, -1.0, 0.5]])
    found = widened(DiagonalGaussian(torch.ones(1, 3), log_variance), 2.0)
    assert isinstance(found, DiagonalGaussian)
    assert found.log_variance.tolist() == [[-3.0, 0.0, 0.5]]
    assert torch.equal(found.mean, torch.ones(1, 3))


def test_what_has_no_width_keeps_its_own() -> None:
    flat = CorrelatedGaussian(torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2))
    assert widened(flat, 0.0) is flat
    with pytest.raises(TypeError, match="CorrelatedGaussian posterior has no width"):
        widened(flat, 1.0)
    assert best_width(tiny_model(), []) == 0.0
    assert best_width(tiny_model(), [tiny_batch()], samples=2) in WIDTHS
