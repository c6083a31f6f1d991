import math

import pytest
import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.evaluation.likelihood import elbo, evaluating, importance_weighted
from seqvae.latent import LEVEL
from seqvae.model import SequenceVAE
from seqvae.tasks.decode import token_likelihood
from tests.linear_gaussian import LinearGaussian
from tests.tiny import tiny_batch, tiny_model

RATIOS = [4.0, 1.0, 0.2]


@pytest.mark.parametrize("samples", [1, 3, 50])
def test_the_exact_posterior_gives_the_exact_likelihood_for_every_k(samples: int) -> None:
    truth = LinearGaussian(RATIOS)
    batch = truth.batch(20)
    found = importance_weighted(truth.model, batch, samples)
    torch.testing.assert_close(found, truth.nll(batch), rtol=0, atol=1e-4)


def test_a_wrong_posterior_converges_from_above_and_monotonically() -> None:
    truth = LinearGaussian(RATIOS, move=0.4, widen=0.5)
    batch = truth.batch(200)
    exact = float(truth.nll(batch).mean())
    bounds = [
        float(importance_weighted(truth.model, batch, samples).mean())
        for samples in (1, 2, 4, 16, 64, 512)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > exact + 0.3
    assert bounds[-1] == pytest.approx(exact, abs=0.02)


def test_the_elbo_of_the_exact_posterior_is_the_likelihood() -> None:
    truth = LinearGaussian(RATIOS)
    batch = truth.batch(1500)
    difference = elbo(truth.model, batch).nll - truth.nll(batch)
    # One sample of z: equal on average, within four standard errors.
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(batch.size)
    assert float(elbo(truth.model, batch).kl.mean()) == pytest.approx(
        truth.mutual_information, abs=0.1
    )


def test_the_elbo_of_a_wrong_posterior_loses_its_kl_to_the_true_one() -> None:
    move, widen = 0.4, 0.5
    truth = LinearGaussian(RATIOS, move=move, widen=widen)
    batch = truth.batch(1500)
    precision = 1 + torch.tensor(RATIOS)
    lost = 0.5 * (math.exp(widen) + move**2 * precision - 1 - widen).sum()
    difference = elbo(truth.model, batch).nll - truth.nll(batch)
    error = 4 * float(difference.std()) / math.sqrt(batch.size)
    assert float(difference.mean()) == pytest.approx(float(lost), abs=error)


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
@pytest.mark.parametrize("chunk_tokens", [1, 40, 300, 10**6])
def test_chunks_do_not_change_the_result(decoder: str, chunk_tokens: int) -> None:
    model, batch = tiny_model(decoder), tiny_batch()
    whole = importance_weighted(model, batch, 20, chunk_tokens=20 * batch.values.numel())
    chunked = importance_weighted(model, batch, 20, chunk_tokens=chunk_tokens)
    torch.testing.assert_close(chunked, whole, rtol=0, atol=1e-4)


def test_a_sequence_scores_the_same_in_any_batch() -> None:
    model, batch = tiny_model(), tiny_batch()
    together, bound = importance_weighted(model, batch, 10), elbo(model, batch)
    for row in range(batch.size):
        length = int(batch.lengths[row])
        alone = Batch(batch.values[row : row + 1, :length], batch.lengths[row : row + 1])
        one = importance_weighted(model, alone, 10)
        torch.testing.assert_close(one[0], together[row], rtol=0, atol=1e-4)
        torch.testing.assert_close(elbo(model, alone).nll[0], bound.nll[row], rtol=0, atol=1e-4)


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_equals_a_loop_over_samples_with_full_logits(decoder: str) -> None:
    samples = 7
    model, batch = tiny_model(decoder), tiny_batch()
    # A spy hands the samples on, so that only the estimators differ.
    noise: list[Tensor] = []
    reconstruction = model.reconstruction

    def spy(part: Batch, z: Tensor | None) -> Tensor:
        assert z is not None
        noise.append(z.clone())
        return reconstruction(part, z)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "reconstruction", spy)
        found = importance_weighted(model, batch, samples, chunk_tokens=1)
    drawn = torch.cat(noise, 1).view(batch.size, samples, -1)
    naive = torch.stack([_naive(model, batch, row, drawn[row]) for row in range(batch.size)])
    torch.testing.assert_close(found, naive, rtol=0, atol=1e-4)


@torch.no_grad()
def _naive(model: SequenceVAE, batch: Batch, row: int, drawn: Tensor) -> Tensor:
    values = batch.values[row : row + 1, : int(batch.lengths[row])]
    posterior = model.encode(Batch(values, batch.lengths[row : row + 1]))
    assert model.latent is not None
    weights = []
    for z in drawn[:, None]:
        logits = token_likelihood(model).logits(model.decode(values, z))
        log_prob = logits.log_softmax(-1).gather(2, values[:, 1:, None]).sum()
        log_ratio = model.latent.prior.log_prob(z) - posterior.log_prob(z)
        weights.append(log_prob + log_ratio[0])
    return math.log(len(weights)) - torch.stack(weights).logsumexp(0)


def test_more_samples_keep_the_first_ones() -> None:
    truth = LinearGaussian([1.0], move=1.0)
    batch = truth.batch(1)
    one = importance_weighted(truth.model, batch, 1)
    two = importance_weighted(truth.model, batch, 2)
    # log-mean-exp over two contains the first: nll_2 <= nll_1 + ln 2 whatever the second is.
    assert two <= one + math.log(2) + 1e-5


def test_seeds_matter_and_repeat() -> None:
    model, batch = tiny_model(), tiny_batch()
    first = importance_weighted(model, batch, 2, seed=1)
    assert torch.equal(first, importance_weighted(model, batch, 2, seed=1))
    assert not torch.equal(first, importance_weighted(model, batch, 2, seed=2))


def test_a_language_model_is_exact() -> None:
    model, batch = tiny_model(latent=False), tiny_batch()
    with torch.no_grad():
        logits = token_likelihood(model).logits(model.decode(batch.values, None))
    log_prob = logits.log_softmax(-1).gather(2, batch.values[:, 1:, None])[..., 0]
    real = torch.arange(log_prob.shape[1]) < batch.lengths[:, None] - 1
    exact = -(log_prob * real).sum(1)
    torch.testing.assert_close(importance_weighted(model, batch), exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(elbo(model, batch).nll, exact, rtol=0, atol=1e-4)
    assert elbo(model, batch).posterior is None


def test_a_source_gives_the_proposal_and_values_the_likelihood() -> None:
    truth = LinearGaussian([0.3, 0.1])
    batch, other = truth.batch(50), truth.batch(50, seed=2)
    paired = Batch(batch.values, batch.lengths, source=other.values, source_lengths=other.lengths)
    found = importance_weighted(truth.model, paired, 2000)
    # Samples meant for other sequences still estimate -log p(values), only with more noise.
    assert float((found - truth.nll(batch)).abs().mean()) < 0.05
    assert float((found - truth.nll(other)).abs().mean()) > 0.5


def test_the_model_is_left_in_the_mode_it_was_in() -> None:
    model, batch = tiny_model(), tiny_batch()
    model.train()
    model.decoder.eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert model.training and not model.decoder.training
    # Dropout is off: training mode gives the same numbers.
    loud = importance_weighted(model, batch, 3)
    assert torch.equal(loud, importance_weighted(model.eval(), batch, 3))


def test_terms_and_bound_agree() -> None:
    model, batch = tiny_model(), tiny_batch()
    with torch.no_grad():
        terms = model(batch, torch.tensor([3]))
    torch.testing.assert_close(elbo(model, batch).kl_dimensions, terms.kl_dimensions[LEVEL])


@pytest.mark.parametrize(("samples", "chunk_tokens"), [(0, 10), (3, 0)])
def test_nonsense_is_refused(samples: int, chunk_tokens: int) -> None:
    with pytest.raises(ValueError, match="need samples"):
        importance_weighted(tiny_model(), tiny_batch(), samples, chunk_tokens=chunk_tokens)
