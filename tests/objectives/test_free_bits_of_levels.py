"""Free bits of each level fill a level that free bits of the whole leave empty."""

import pytest
import torch
from torch import Tensor

from seqvae.objectives import FreeBits, Terms
from seqvae.objectives.free_bits import Variant
from seqvae.posteriors import Ladder
from seqvae.priors import Ladder as LadderOfPrior

DEVIATIONS = torch.tensor([4.0, 1.0])
"""Of the data's two components, each told by a level of its own; the likelihood's is 1."""
NATS = 1.2


def trained(variant: Variant) -> tuple[list[float], Tensor]:
    """KL of each level after training, and how well the mean of each follows its component: correlations.

    Under a likelihood of deviation 1 the upper level is worth ln 4 = 1.4 nats, the lower one nothing
    (Tipping and Bishop 1999: a direction whose variance is that of the noise is left out).
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    posterior_of, prior = Ladder(2, 2, width=8).build(2), LadderOfPrior(2, width=8).build(2)
    scale = torch.nn.Parameter(torch.ones(2))
    parameters = [*posterior_of.parameters(), *prior.parameters(), scale]
    optimizer = torch.optim.Adam(parameters, 0.03)
    objective = FreeBits(NATS, variant).build()
    for step in range(300):
        x = DEVIATIONS * torch.randn(256, 2, generator=generator)
        posterior = posterior_of(x)
        z, kl = prior.sample_posterior(posterior, torch.tensor([step]), 1)
        reconstruction = 0.5 * (x - z * scale).square().sum(-1)
        upper, lower = torch.split(kl, prior.top_down.sizes, 1)
        loss = objective(Terms(reconstruction, {"z_1": upper, "z_2": lower}), 0.0)
        optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        x = DEVIATIONS * torch.randn(4000, 2, generator=generator)
        posterior = posterior_of(x)
        _, kl = prior.sample_posterior(posterior, torch.tensor([0]), 8)
        both = torch.cat([x, posterior.mean], 1).T
        return kl.mean(0).tolist(), torch.corrcoef(both)[:2, 2:].diagonal().abs()


def test_a_level_that_is_spared_by_the_whole_keeps_its_own_share() -> None:
    (upper, lower), _ = trained("batch_total")
    assert upper > 1.0 and lower < 0.05
    (upper, lower), follows = trained("level")
    assert upper > 1.0
    # Of the batch's mean, which a step overshoots by little.
    assert lower == pytest.approx(NATS / 2, abs=0.12)
    # And it is information: at .6 nats a Gaussian channel's squared correlation is 1 - exp(-1.2) = .7.
    assert float(follows.min()) > 0.8
