"""The importance-weighted bound and its three gradients, held to what is exact."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.config import Experiment, Model
from seqvae.errors import UserError
from seqvae.latent import Latent
from seqvae.model import SequenceVAE
from seqvae.nn.weighted_gradient import weighted_gradient
from seqvae.objectives import Gradient, Importance, Terms
from seqvae.posteriors import Gaussian, Iaf, LowRank, PosteriorChoice, Vmf
from seqvae.priors import Flow, Ladder, PriorChoice, Standard, Vamp
from seqvae.priors.pairs import build_prior
from tests.laws import LATENT, WIDTH, build, noise, seed, variants
from tests.linear_gaussian import Everything, LinearGaussian
from tests.training.runs import GRU, TRANSFORMER

GRADIENTS: tuple[Gradient, ...] = ("naive", "stl", "dreg")
MOVE, WIDEN = 0.3, 0.6
REPEATS, ROWS = 60, 8000


class Learning:
    """One latent dimension, whose posterior is off by two numbers that are learned."""

    def __init__(self, move: float = MOVE, widen: float = WIDEN) -> None:
        self.truth = LinearGaussian([3.0], steps=4)
        self.move = nn.Parameter(torch.tensor([move]))
        self.widen = nn.Parameter(torch.tensor([widen]))
        self.weight = nn.Parameter(self.truth.weight.clone())
        self.truth.model.need_latent().posterior.move = self.move
        self.truth.model.need_latent().posterior.widen = self.widen
        self.truth.model.decoder.weight = self.weight

    def gradients(self, samples: int, gradient: Gradient, repeats: int = REPEATS) -> list[Tensor]:
        """Of move and widen, then of the decoder, once for each repeat: shapes [repeats, ...]."""
        objective = Importance(samples, gradient).build()
        found = []
        # All rows are one sequence: the gradient's mean over them is one of many estimates.
        one = self.truth.batch(1)
        batch = Batch(one.values.expand(ROWS, -1), one.lengths.expand(ROWS))
        for repeat in range(repeats):
            terms = self.truth.model(batch, seed(repeat), samples, gradient)
            total = objective(terms, 0.5).total
            found.append(torch.autograd.grad(total, [self.move, self.widen, self.weight]))
        return [torch.stack(each) for each in zip(*found, strict=True)]

    def exact(self, samples: int) -> tuple[Tensor, Tensor]:
        """The gradient of the bound in move and widen for one or two samples, by quadrature.

        log w = log p(x) + log p(z | x) - log q(z | x), and log p(x) does not depend on them.
        """
        line = torch.linspace(-8, 8, 601, dtype=torch.float64)
        eps = torch.cartesian_prod(*[line] * samples).reshape(-1, samples)
        mass = (-0.5 * eps.square()).exp().prod(1)
        mass = mass / mass.sum()
        variance = 1 / (1 + self.truth.ratios.double())
        move = self.move.detach().double().requires_grad_()
        widen = self.widen.detach().double().requires_grad_()
        off = move + (variance * widen.exp()).sqrt() * eps  # z less the true mean
        log_true = -0.5 * (off.square() / variance + variance.log())
        log_q = -0.5 * (eps.square() + variance.log() + widen)
        bound = -(mass * ((log_true - log_q).logsumexp(1) - math.log(samples))).sum()
        first, second = torch.autograd.grad(bound, [move, widen])
        return first.float(), second.float()


def errors(estimates: Tensor, exact: Tensor) -> Tensor:
    """How many standard errors the mean of the estimates is off."""
    off: Tensor = (estimates.mean(0) - exact).abs() / (estimates.std(0) / len(estimates) ** 0.5)
    return off


@pytest.mark.parametrize("samples", [1, 2])
def test_the_encoder_learns_from_the_gradient_of_the_bound(samples: int) -> None:
    model = Learning()
    exact = model.exact(samples)
    for gradient in GRADIENTS:
        biased = gradient == "stl" and samples > 1
        found = model.gradients(samples, gradient)[:2]
        for estimates, wanted in zip(found, exact, strict=True):
            # The estimates are precise enough to tell: a standard error is 2 % of the gradient at most.
            assert (estimates.std(0) / REPEATS**0.5 < 0.02 * wanted.abs()).all()
            assert bool(errors(estimates, wanted) > 10) if biased else errors(estimates, wanted) < 4


def test_more_samples_have_the_same_mean_gradient_naive_or_doubly() -> None:
    naive, dreg = (Learning().gradients(16, gradient)[:2] for gradient in ("naive", "dreg"))
    for one, other in zip(naive, dreg, strict=True):
        error = (one.var(0) + other.var(0)).div(REPEATS).sqrt()
        assert (one.mean(0) - other.mean(0)).abs() < 4 * error
        # Doubly reparameterised is the clearer of the two, by far.
        assert (other.std(0) < 0.5 * one.std(0)).all()


def test_at_the_true_posterior_nothing_is_left_to_learn_and_nothing_is_noise() -> None:
    model = Learning(move=0.0, widen=0.0)
    for gradient in ("stl", "dreg"):
        for estimates in model.gradients(4, gradient, repeats=3)[:2]:
            assert (estimates.abs() < 1e-5).all()
    assert all((found.std(0) > 1e-3).all() for found in model.gradients(4, "naive", repeats=3)[:2])


def test_the_decoder_learns_the_same_whatever_the_encoder_does() -> None:
    model = Learning()
    naive, stl, dreg = (model.gradients(8, gradient, 3)[2] for gradient in GRADIENTS)
    torch.testing.assert_close(stl, naive)
    torch.testing.assert_close(dreg, naive)


def test_the_bound_tightens_with_the_samples_up_to_the_likelihood() -> None:
    truth = LinearGaussian([3.0, 1.0], move=MOVE, widen=WIDEN)
    batch = truth.batch(4000)
    nll = truth.nll(batch).mean()
    bounds = []
    for samples in (1, 2, 4, 8, 16, 64, 256):
        terms = truth.model(batch, seed(1), samples, "dreg")
        bounds.append(float(Importance(samples).build()(terms, 0.0).shown["bound"]))
    assert all(later < earlier for earlier, later in pairwise(bounds))
    assert bounds[-1] == pytest.approx(float(nll), abs=0.02)
    assert bounds[0] > nll + 0.2


def test_extreme_weights_are_finite() -> None:
    # Log-weights of sequences are hundreds of nats apart: their exponentials are not.
    model = Learning(move=40.0, widen=4.0)
    for gradient in GRADIENTS:
        assert all(torch.isfinite(found).all() for found in model.gradients(8, gradient, repeats=1))


def sentences() -> Batch:
    """Three sentences of 5, 9 and 7 tokens, padded to 9."""
    lengths = torch.tensor([5, 9, 7])
    values = 5 + (torch.arange(27).reshape(3, 9) * 7) % 20
    values[:, 0] = 1
    return Batch(values.where(torch.arange(9) < lengths[:, None], 0), lengths)


def text_model(config: Model) -> SequenceVAE:
    torch.manual_seed(0)
    model = config.build(30).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.add_(0.1 * noise(*parameter.shape, of=len(name)))
    return model


def learned(
    model: SequenceVAE, batch: Batch, samples: int, gradient: Gradient
) -> dict[str, Tensor]:
    """Gradients by name of parameter."""
    model.zero_grad(set_to_none=True)
    terms = model(batch, seed(3), samples, gradient)
    assert terms.log_ratio is not None
    assert terms.log_ratio.dtype == terms.reconstruction.dtype == torch.float32
    Importance(samples, gradient).build()(terms, 0.5).total.backward()  # type: ignore[no-untyped-call]
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", [GRU, TRANSFORMER], ids=["gru", "transformer"])
def test_of_sentences_it_is_the_formula(config: Model) -> None:
    """Tucker et al. 2019, eq. 8, written out one sample of one sentence at a time."""
    model, batch, samples = text_model(replace(config, share_embedding=False)), sentences(), 4
    found = learned(model, batch, samples, "dreg")
    model.zero_grad(set_to_none=True)
    latent = model.need_latent()
    posterior = model.encode(batch)
    z = posterior.sample(seed(3), samples)
    at = z.detach().requires_grad_()
    fixed = model.encode(batch)
    terms = latent.prior.log_prob(at) - fixed.log_prob(at) - model.reconstruction(batch, at)
    share = terms.detach().softmax(0)
    pull = torch.zeros_like(z)
    for k in range(samples):
        for row in range(batch.size):
            (slope,) = torch.autograd.grad(terms[k, row], at, retain_graph=True)
            pull[k, row] = share[k, row] ** 2 * slope[k, row]
    z.backward(-pull / batch.size)  # type: ignore[no-untyped-call]
    for name, parameter in latent.named_parameters(prefix="latent"):
        if parameter.grad is not None:
            assert parameter.grad.abs().sum() > 0, name
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-6)
    naive = learned(model, batch, samples, "naive")
    for name in naive:
        if not name.startswith("latent."):
            torch.testing.assert_close(found[name], naive[name], rtol=1e-4, atol=1e-6)


def test_padding_teaches_nothing() -> None:
    model, batch = text_model(GRU), sentences()
    wide = Batch(torch.nn.functional.pad(batch.values, (0, 6)), batch.lengths)
    narrow, padded = learned(model, batch, 3, "dreg"), learned(model, wide, 3, "dreg")
    for name in narrow:
        torch.testing.assert_close(padded[name], narrow[name], rtol=1e-4, atol=1e-6)


MEMBERS: list[tuple[PosteriorChoice, PriorChoice]] = [
    (LowRank(4, rank=2), Flow(2, 16)),
    (Iaf(4, width=16), Standard()),
    (Vmf(4), Standard()),
    (Gaussian(4), Vamp(3, 3)),
    (Gaussian(4), Ladder()),
]


@pytest.mark.parametrize(
    ("posterior", "prior"), MEMBERS, ids=lambda member: type(member).__name__.lower()
)
def test_it_takes_every_posterior(posterior: PosteriorChoice, prior: PriorChoice) -> None:
    model = text_model(replace(GRU, posterior=posterior, prior=prior))
    for gradient in GRADIENTS:
        found = learned(model, sentences(), 3, gradient)
        assert set(found) == {name for name, _ in model.named_parameters()}
        assert all(torch.isfinite(each).all() for each in found.values())


@pytest.mark.parametrize("config", variants(PosteriorChoice), ids=repr)
def test_of_every_posterior_it_is_as_the_naive_one_on_average(config: Any) -> None:  # noqa: ANN401
    """With flows, whose density all x share weights of, spheres, and levels that depend on each other."""
    network = build(config, WIDTH)
    latent = Latent(Everything(WIDTH), network, build_prior(config, Standard(), LATENT))
    weights = [w for w in network.parameters() if w.requires_grad]
    # The angle of a sphere is drawn from a table of thousands of cells.
    summary = noise(1, WIDTH).expand(200 if isinstance(config, Vmf) else 1000, -1)
    target = torch.tensor([0.8, -0.5])
    found: dict[Gradient, list[Tensor]] = {"naive": [], "dreg": []}
    for repeat in range(30):
        posterior = network(summary)
        for gradient, estimates in found.items():
            z, path = posterior.sample(seed(repeat), 3), None
            if gradient == "dreg":
                z, path = weighted_gradient(z)
            terms = Terms(
                2 * (z - target).square().sum(-1),
                {"sequence": torch.zeros(1, 1)},
                latent.log_ratio(posterior, z, score=gradient == "naive"),
                path=path,
            )
            total = Importance(3, gradient).build()(terms, 0.5).total
            each = torch.autograd.grad(total, weights, retain_graph=True)
            estimates.append(torch.cat([part.flatten() for part in each]))
    naive, dreg = (torch.stack(estimates) for estimates in found.values())
    # The same noise in both: of each pair the difference is what errs.
    off = naive - dreg
    error = (off.std(0) / len(off) ** 0.5).clamp_min(1e-6)
    assert (off.mean(0) / error).abs().max() < 5.5
    assert dreg.mean(0).norm() > 20 * error.mean()


def test_one_sample_sticks_the_landing_as_two_names_for_one() -> None:
    model, batch = text_model(GRU), sentences()
    stl, dreg = (learned(model, batch, 1, gradient) for gradient in ("stl", "dreg"))
    for name in stl:
        torch.testing.assert_close(dreg[name], stl[name])


def test_no_samples_and_no_latent_are_refused() -> None:
    with pytest.raises(UserError, match="samples must be at least 1, got 0"):
        Importance(samples=0)
    with pytest.raises(UserError, match="objective:importance and --latent none"):
        Experiment(objective=Importance(), latent="none")
