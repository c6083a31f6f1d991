"""Levels of one z: what is Gaussian is Gaussian, and KL and information split rightly."""

import math
from typing import Any

import pytest
import torch

from seqvae.config import Experiment, Model
from seqvae.decoders import Transformer
from seqvae.errors import UserError
from seqvae.evaluation.collapse import mutual_information, mutual_information_of
from seqvae.evaluation.levels import level_information
from seqvae.nn.ladder import TopDown, level_sizes
from seqvae.objectives import FreeBits
from seqvae.posteriors import Gaussian, Iaf, Ladder, LowRank, Posterior
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Flow, Mixture, Prior, Standard
from seqvae.priors import Ladder as LadderOfPrior
from seqvae.priors.ladder import LadderPrior
from tests.laws import WIDTH, build, close, noise, seed


def ladder(dimension: int = 5, levels: int = 3, rows: int = 4) -> tuple[Posterior, Prior]:
    """A posterior and a prior of random weights."""
    posterior = build(Ladder(dimension, levels, width=WIDTH), WIDTH)(noise(rows, WIDTH))
    return posterior, build(LadderOfPrior(levels, width=WIDTH), dimension)


def test_levels_share_the_dimensions() -> None:
    assert level_sizes(32, 4) == [8, 8, 8, 8]
    assert level_sizes(7, 3) == [3, 2, 2]


def test_drawing_level_after_level_is_what_all_at_once_says() -> None:
    torch.manual_seed(0)
    levels = TopDown(5, 3, WIDTH)
    for parameter in levels.parameters():
        torch.nn.init.normal_(parameter)
    base = noise(4, 5), noise(4, 5, of=1)
    context = noise(4, 2, WIDTH, of=2)
    z, drawn = levels.draw(noise(6, 4, 5, of=3), base, context)
    for found, wanted in zip(levels.at(z, base, context), drawn, strict=True):
        close(found, wanted)
    # Levels see what is above them and nothing else.
    changed = z.clone()
    changed[..., 2:4] += 1.0
    for found, wanted in zip(levels.at(changed, base, context), drawn, strict=True):
        same = (found - wanted).abs().amax((0, 1)) < 1e-6
        assert same.tolist() == [True, True, True, True, False]


def test_at_the_start_it_is_gaussian() -> None:
    torch.manual_seed(0)
    summary = noise(4, WIDTH)
    network = Ladder(6, 3, WIDTH).build(WIDTH)
    flat = Gaussian(6).build(WIDTH)
    flat.statistics.load_state_dict(network.statistics.state_dict())
    posterior, wanted = network(summary), flat(summary)
    close(posterior.mean, wanted.mean)
    z = posterior.sample(seed(1), 3)
    close(posterior.log_prob(z), wanted.log_prob(z))
    prior = LadderOfPrior(3, WIDTH).build(6)
    close(prior.log_prob(z), Standard().build(6).log_prob(z))
    close(prior.kl(posterior), wanted.kl())


def test_kls_of_levels_sum_to_that_of_the_whole() -> None:
    posterior, prior = ladder()
    z, kl = prior.sample_posterior(posterior, seed(1), 20_000)
    assert kl.shape == (4, 5)
    assert (kl >= 0).all()
    ratio = posterior.log_prob(z) - prior.log_prob(z)
    error = 5 * ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) - kl.sum(1)).abs() < error).all()
    # What is integrated in closed form varies less.
    few = torch.stack([prior.sample_posterior(posterior, seed(s), 1)[1].sum(1) for s in range(200)])
    assert (few.std(0) < ratio.std(0)).all()


@pytest.mark.parametrize("prior", [Standard(), Mixture(3), Flow(2, WIDTH)])
def test_any_prior_over_all_levels_together(prior: Any) -> None:  # noqa: ANN401
    posterior, _ = ladder()
    made = build(prior, 5)
    z, kl = made.sample_posterior(posterior, seed(1), 5000)
    ratio = posterior.log_prob(z) - made.log_prob(z)
    assert ((ratio.mean(0) - kl.sum(1)).abs() < 5 * ratio.std(0) / len(z) ** 0.5 + 1e-4).all()
    assert kl.shape[1] == (5 if isinstance(prior, Standard) else 1)


@torch.no_grad()
def test_what_is_kept_stays_and_the_rest_is_drawn_given_it() -> None:
    _, prior = ladder()
    assert isinstance(prior, LadderPrior)
    z, other = noise(400, 5), noise(400, 5, of=1)
    close(prior.redraw(z, other, 3), z, 1e-4)
    close(prior.redraw(z, other, 0), prior.from_noise(other))
    drawn = prior.redraw(z, other, 1)
    close(drawn[:, :2], z[:, :2], 1e-4)
    # Below, the noise is that of a density whose statistics are told by what was kept.
    mean, log_variance = prior.conditional(drawn)
    close((drawn - mean)[:, 2:] * torch.exp(-0.5 * log_variance)[:, 2:], other[:, 2:], 1e-3)


@torch.no_grad()
def test_the_parts_of_the_information_are_its_sum() -> None:
    posterior, _ = ladder(rows=40)
    parts = level_information(posterior, [2, 2, 1])
    assert parts is not None
    assert sum(parts) == pytest.approx(mutual_information_of(posterior)[0], abs=1e-4)
    # Two levels, of which the one tells four groups apart, the other eight rows in each of them.
    location = torch.cartesian_prod(torch.arange(4.0), torch.arange(8.0))
    apart = DiagonalGaussian(location, torch.full((32, 2), -10.0))
    coarse, fine = level_information(apart, [1, 1]) or [0.0, 0.0]
    assert coarse == pytest.approx(math.log(4), abs=1e-3)
    assert fine == pytest.approx(math.log(8), abs=1e-3)
    assert mutual_information(location, apart.log_variance)[0] == pytest.approx(coarse + fine)
    assert level_information(build(Iaf(2, width=WIDTH), WIDTH)(noise(3, WIDTH)), [1, 1]) is None


def test_members_that_do_not_go_together() -> None:
    with pytest.raises(UserError, match=r"posterior.levels 3 and --model.prior.levels 2"):
        Experiment(model=Model(posterior=Ladder(levels=3), prior=LadderOfPrior(levels=2)))
    with pytest.raises(UserError, match=r"levels must be at least 2.*posterior:gaussian"):
        Ladder(levels=1)
    with pytest.raises(UserError, match=r"dimension must be at least levels"):
        Ladder(dimension=2, levels=3)
    with pytest.raises(UserError, match=r"levels must be at most the latent's dimension, 2"):
        LadderOfPrior(levels=3).build(2)
    with pytest.raises(UserError, match=r"gate and model.prior:ladder"):
        Experiment(
            objective=FreeBits(variant="gate"),
            model=Model(posterior=LowRank(), prior=LadderOfPrior()),
        )
    by_dimension = FreeBits(variant="gate")
    for posterior in (Ladder(), Gaussian()):
        Experiment(objective=by_dimension, model=Model(posterior=posterior, prior=LadderOfPrior()))


def test_levels_of_the_decoder_are_those_of_z() -> None:
    layerwise = Transformer(layers=4, levels=2)
    Experiment(model=Model(posterior=Ladder(), prior=LadderOfPrior(), decoder=layerwise))
    with pytest.raises(UserError, match=r"decoder.levels 2 needs.*this one has one level"):
        Experiment(model=Model(decoder=layerwise))
    with pytest.raises(UserError, match=r"decoder.levels 2 needs.*this one has 3 levels"):
        Experiment(model=Model(posterior=Ladder(levels=3), decoder=layerwise))
    with pytest.raises(UserError, match=r"levels 2 and injection softmax"):
        Transformer(levels=2, injection="softmax")
    with pytest.raises(UserError, match=r"layers must be at least levels.*got 2 for 3 levels"):
        Transformer(layers=2, levels=3)


@pytest.mark.parametrize("way", ["default", "film", "prefix", "product"])
def test_each_level_enters_its_own_blocks(way: Any) -> None:  # noqa: ANN401
    config = Transformer(layers=4, width=WIDTH, heads=2, injection=way, levels=2)
    decoder = build(config, 5, 16)
    z = noise(3, 5)
    below = z.clone()
    below[:, 3:] += 1.0
    before, after = decoder.condition(z), decoder.condition(below)
    for block in range(4):
        for given in ("modulations", "prefixes", "factors"):
            was, now = (getattr(found, given)[block] for found in (before, after))
            if was is not None:
                same = all(torch.equal(a, b) for a, b in zip(was, now, strict=True))
                assert same is (block < 2), (given, block)
    # And each of them has a say in what is written.
    x = noise(3, 7, WIDTH)
    above = z.clone()
    above[:, :3] += 1.0
    for other in (below, above):
        assert not torch.allclose(decoder(x, z), decoder(x, other), atol=1e-3)
