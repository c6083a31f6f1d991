"""The model of frames: its terms, its labels and what it writes, against closed forms where there are any."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.config_frames import Frames
from seqvae.decoders import DecoderChoice, Gru, SeriesDecoder, Transformer
from seqvae.encoders import Encoder, EncoderChoice, StyleChoice, StyleConv
from seqvae.encoders import Gru as GruEncoder
from seqvae.encoders import Transformer as TransformerEncoder
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.latent import Latent
from seqvae.likelihoods import Bernoulli, Laplace, Normal, SeriesLikelihoodChoice
from seqvae.likelihoods.normal import NormalLikelihood
from seqvae.model_frames import FramesVAE
from seqvae.posteriors import Gaussian, PosteriorChoice
from seqvae.priors import PriorChoice, Standard
from seqvae.priors.pairs import check_prior
from tests.laws import close, noise, seed, variants
from tests.linear_gaussian import NOISE, TruePosterior

FEATURES, STEPS = 4, 6
SMALL = Frames(
    encoder=GruEncoder(width=8), posterior=Gaussian(3), decoder=Gru(width=8), label_width=5
)
LENGTHS = torch.tensor([6, 2, 5])


def batch(labels: bool = False) -> Batch:
    values = torch.sigmoid(noise(3, STEPS, FEATURES))
    return Batch(values, LENGTHS, torch.tensor([1, 0, 2]) if labels else None)


def model_of(config: Frames) -> FramesVAE:
    torch.manual_seed(0)
    return config.build(FEATURES, STEPS, labels=3).eval()


@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Bernoulli(continuous=True), Laplace(), Normal(1.0)]
)
@pytest.mark.parametrize("autoregressive", [False, True])
def test_rows_cost_what_they_cost_alone(
    likelihood: SeriesLikelihoodChoice, autoregressive: bool
) -> None:
    config = replace(SMALL, likelihood=likelihood, autoregressive=autoregressive)
    model, whole = model_of(config), batch()
    z = noise(5, 3, 3, of=2)
    cost = model.reconstruction(whole, z)
    assert cost.shape == (5, 3) and cost.dtype == torch.float32
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone = Batch(whole.values[one, :length], LENGTHS[one])
        close(model.reconstruction(alone, z[:, one])[:, 0], cost[:, row], atol=1e-4)
        close(model.encode(alone).mean[0], model.encode(whole).mean[row], atol=1e-5)


@pytest.mark.parametrize(
    "encoder",
    [
        StyleConv(width=8, layers=1),
        TransformerEncoder(layers=1, width=8, heads=2),
        GruEncoder(width=8),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_terms_are_those_of_every_encoder(
    encoder: EncoderChoice | StyleChoice,
) -> None:
    terms = model_of(replace(SMALL, encoder=encoder))(batch(), seed(1), 4)
    assert terms.reconstruction.shape == (4, 3)
    assert terms.kl_dimensions["sequence"].shape == (3, 3)
    assert terms.log_ratio is not None and terms.log_ratio.shape == (4, 3)


def test_a_label_changes_both_what_is_inferred_and_what_is_written() -> None:
    model = model_of(replace(SMALL, conditional=True))
    given = batch(labels=True)
    other = replace(given, labels=torch.tensor([2, 0, 2]))
    moved = (model.encode(given).mean - model.encode(other).mean).abs().sum(1)
    assert (moved > 0).tolist() == [True, False, False]
    z = noise(1, 3, 3)
    differs = (model.reconstruction(given, z) - model.reconstruction(other, z))[0].abs() > 1e-6
    assert differs.tolist() == [True, False, False]
    close(importance_weighted(model, given, 4)[1], importance_weighted(model, other, 4)[1])
    with pytest.raises(ValueError, match="needs the label"):
        model.encode(batch())


@pytest.mark.parametrize("autoregressive", [False, True])
@pytest.mark.parametrize("decoder", [Gru(width=8), Transformer(layers=1, width=8, heads=2)])
def test_it_writes_what_it_expects(decoder: DecoderChoice, autoregressive: bool) -> None:
    config = replace(SMALL, decoder=decoder, autoregressive=autoregressive, likelihood=Normal(1.0))
    model, z = model_of(config), noise(3, 3)
    written = model.write(z, LENGTHS)
    assert written.shape == (3, STEPS, FEATURES)
    assert all((written[row, length:] == 0).all() for row, length in enumerate(LENGTHS))
    # Given what it has written, it expects just that.
    states = model.states(written, LENGTHS, z)
    expected = model.likelihood.mean(states)
    for row, length in enumerate(LENGTHS.tolist()):
        close(expected[row, :length].detach(), written[row, :length], atol=1e-4)
    high = model.write(z, LENGTHS, noise=torch.full((3, STEPS, FEATURES), 0.8))
    assert (high[0] > written[0]).any() and not torch.equal(high, written)
    with pytest.raises(ValueError, match="at most 6"):
        model.write(z, torch.tensor([7, 1, 1]))


def test_frames_are_hidden_in_training_alone() -> None:
    config = replace(
        SMALL, decoder=Gru(width=8, dropout=0.0), autoregressive=True, frame_dropout=0.9
    )
    model, z = model_of(config), noise(1, 3, 3)
    usual = model.reconstruction(batch(), z)
    close(model.reconstruction(batch(), z), usual)
    model.train()
    assert not torch.equal(model.reconstruction(batch(), z), usual)


class Flat(Encoder):
    """All frames side by side."""

    width = FEATURES * STEPS

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return x.flatten(1)


class Affine(SeriesDecoder):
    """Frame t is (W z + b)_t, whatever the past."""

    width, autoregressive, longest = FEATURES, False, STEPS

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor, z: Tensor | None, lengths: Tensor) -> Tensor:
        assert z is not None
        return (z @ self.weight.t() + self.bias).view(-1, STEPS, FEATURES)


def linear_gaussian(move: float = 0.0) -> tuple[FramesVAE, Batch, Tensor]:
    """A model whose likelihood has a closed form, frames of it, and their -log p(x)."""
    ratios = torch.tensor([8.0, 2.0])
    weight = torch.linalg.qr(noise(FEATURES * STEPS, 2)).Q * ratios.sqrt() * NOISE
    bias = torch.linspace(-1, 1, FEATURES * STEPS)
    likelihood: NormalLikelihood = Normal(scale=NOISE).build(FEATURES, FEATURES)
    with torch.no_grad():
        likelihood.output.weight.copy_(torch.eye(FEATURES))
        likelihood.output.bias.zero_()
    latent = Latent(Flat(), TruePosterior(weight, bias, move, 0.0), Standard().build(2))
    model = FramesVAE(latent, Affine(weight, bias), likelihood)
    x = noise(200, 2, of=4) @ weight.t() + bias + NOISE * noise(200, FEATURES * STEPS, of=5)
    covariance = weight @ weight.t() + NOISE**2 * torch.eye(FEATURES * STEPS)
    exact = torch.distributions.MultivariateNormal(bias, covariance)
    values = x.view(-1, STEPS, FEATURES)
    return model, Batch(values, torch.full((200,), STEPS)), -exact.log_prob(x)  # type: ignore[no-untyped-call]


def test_the_bounds_are_those_of_the_closed_form() -> None:
    model, data, exact = linear_gaussian()
    # Under the true posterior one sample is enough.
    close(importance_weighted(model, data, 1), exact, atol=1e-3)
    kl = elbo(model, data).kl.mean()
    assert float(kl) == pytest.approx(0.5 * math.log(9.0 * 3.0), rel=0.1)
    # Under a wrong one the bound is loose by KL(q || p(z | x)) = move^2 / (2 v) a dimension.
    moved, data, exact = linear_gaussian(move=0.2)
    loose = 0.5 * 0.04 * (9.0 + 3.0)
    gap = elbo(moved, data).nll - exact
    assert float(gap.mean()) == pytest.approx(loose, abs=5 * float(gap.std()) / len(gap) ** 0.5)
    tight = importance_weighted(moved, data, 200) - exact
    assert abs(float(tight.mean())) < 0.02


def test_every_posterior_and_prior_builds_a_model() -> None:
    built = 0
    for posterior in variants(PosteriorChoice):
        for prior in variants(PriorChoice):
            try:
                check_prior(posterior, prior)
            except UserError:
                continue
            model = model_of(replace(SMALL, posterior=posterior, prior=prior))
            terms = model(batch(), seed(1), 1)
            total = terms.reconstruction.sum() + sum(
                kl.sum() for kl in terms.kl_dimensions.values()
            )
            assert torch.isfinite(total)
            total.backward()
            built += 1
    assert built >= 20
