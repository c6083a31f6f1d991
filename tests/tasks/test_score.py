import pytest
import torch

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import importance_weighted
from seqvae.tasks.text_model import TextModel
from seqvae.tasks.texts import batch_of

TEXTS = ["the red cat sat", "old dog", "日本", ""]


@pytest.mark.parametrize("which", ["text_model", "language_model"])
def test_everything_adds_up(which: str, request: pytest.FixtureRequest) -> None:
    model: TextModel = request.getfixturevalue(which)
    for found, text in zip(model.score(TEXTS, samples=20), TEXTS, strict=True):
        ids = model.tokenizer.encode(text)
        assert [p.piece for p in found.pieces] == [*model.tokenizer.pieces(ids), "</s>"]
        assert sum(p.surprisal for p in found.pieces) == pytest.approx(found.reconstruction)
        assert found.elbo == pytest.approx(-(found.reconstruction + found.kl))
        assert found.per_piece == pytest.approx(found.nll_iw / (len(ids) + 1))
        assert found.misfit == pytest.approx(found.reconstruction / (len(ids) + 1))
        assert found.kl >= 0


def test_a_language_model_is_scored_exactly(language_model: TextModel) -> None:
    batch = batch_of(language_model.read(TEXTS), torch.device("cpu"))
    with torch.inference_mode():
        nll = language_model.model.reconstruction(batch, None)[0].tolist()
    found = language_model.score(TEXTS, samples=3)
    assert [s.nll_iw for s in found] == pytest.approx(nll, rel=1e-4)
    assert [-s.elbo for s in found] == pytest.approx(nll, rel=1e-4)
    assert all(s.kl == 0 for s in found)


def test_the_likelihood_is_that_of_the_evaluation(text_model: TextModel) -> None:
    batch = batch_of(text_model.read(TEXTS), torch.device("cpu"))
    wanted = importance_weighted(text_model.model, batch, 30, 2).tolist()
    found = [s.nll_iw for s in text_model.score(TEXTS, samples=30, seed=2)]
    assert found == pytest.approx(wanted, rel=1e-4)


def test_the_reconstruction_is_a_mean_over_the_posterior(text_model: TextModel) -> None:
    posterior = text_model.encode(TEXTS[:1])
    batch = batch_of(text_model.read(TEXTS[:1]), torch.device("cpu"))
    with torch.inference_mode():
        z = posterior.sample(torch.tensor([1]), 2000)
        nll = text_model.model.reconstruction(batch, z)[:, 0]
    (found,) = text_model.score(TEXTS[:1], samples=16)
    assert abs(found.reconstruction - float(nll.mean())) < 4 * float(nll.std()) / 4


def test_company_does_not_matter(text_model: TextModel) -> None:
    together = text_model.score(TEXTS, samples=20)
    for text, one in zip(TEXTS, together, strict=True):
        (alone,) = text_model.score([text], samples=20)
        assert alone.nll_iw == pytest.approx(one.nll_iw, rel=1e-4)
        assert alone.elbo == pytest.approx(one.elbo, rel=1e-4)


def test_seeds_fix_the_samples(text_model: TextModel) -> None:
    first = text_model.score(TEXTS[:1], samples=2)
    assert first == text_model.score(TEXTS[:1], samples=2)
    assert first != text_model.score(TEXTS[:1], samples=2, seed=1)


def test_no_samples_are_refused(text_model: TextModel) -> None:
    with pytest.raises(UserError, match="samples is 0"):
        text_model.score(TEXTS, samples=0)
