"""Priors as graphs: the samples of every runtime are those of PyTorch, and so is the density."""

import pytest
import torch

from seqvae.errors import UserError
from seqvae.export import parts_prior
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Flow, Ladder, Mixture, Prior, PriorChoice, Vamp
from seqvae.priors.by_label import ByLabelPrior
from seqvae.priors.vamp import VampPrior
from tests.export.test_parts import run

onnxruntime = pytest.importorskip("onnxruntime")


def built(config: PriorChoice, dimension: int) -> Prior:
    torch.manual_seed(3)
    prior = config.build(dimension)
    if isinstance(prior, VampPrior):
        prior.attach(dimension, lambda x, lengths: DiagonalGaussian(x[:, 0], x[:, 1]))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return prior.eval()


@pytest.mark.parametrize(
    ("config", "dimension"),
    [
        (Mixture(components=5), 1),
        (Vamp(), 6),
        (Flow(layers=3, width=8), 6),
        (Ladder(levels=3, width=8), 7),
    ],
)
def test_parts_of_a_prior(config: PriorChoice, dimension: int) -> None:
    prior = built(config, dimension)
    parts = parts_prior.export(prior, 20)
    numbers, seeds = torch.tensor([[3], [0]]), torch.tensor([[-7], [-7]])
    drawn = run(parts["prior"], {"seed": seeds, "sample": numbers})[0]
    z = prior.sample(torch.tensor([-7]), 4).detach()
    torch.testing.assert_close(drawn, z[[3, 0]], atol=2e-6, rtol=2e-6)
    found = run(parts["density"], {"z": z})[0]
    torch.testing.assert_close(found, prior.log_prob(z).detach())


def test_the_parts_of_a_labels_prior() -> None:
    prior = ByLabelPrior(3, 4)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_()
    given = prior.given(torch.tensor(1))
    parts = parts_prior.export(given, 20)
    inputs = {"seed": torch.tensor([[-7], [-7]]), "sample": torch.tensor([[3], [0]])}
    z = given.sample(torch.tensor([-7]), 4).detach()
    torch.testing.assert_close(run(parts["prior"], inputs)[0], z[[3, 0]], atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(run(parts["density"], {"z": z})[0], given.log_prob(z).detach())


def test_a_prior_without_a_graph_is_refused_by_name() -> None:
    class Odd(Prior):
        def log_prob(self, z: torch.Tensor) -> torch.Tensor:
            return z.sum(-1)

        def sample(self, seed: torch.Tensor, size: int) -> torch.Tensor:
            return torch.zeros(size, 1)

    with pytest.raises(UserError, match="no graph is written for the prior Odd"):
        parts_prior.export(Odd(), 20)
