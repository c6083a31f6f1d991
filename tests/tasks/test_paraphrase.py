import pytest
import torch

from seqvae.errors import UserError
from seqvae.model import SequenceVAE
from seqvae.ops import normal
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.tasks import paraphrase as task
from seqvae.tasks.decode import Decoding, Generated, generate
from seqvae.tasks.text_model import TextModel
from seqvae.tasks.texts import batch_of

TEXTS = ["the red cat sat", "old dog", "日本", ""]


def test_without_noise_it_is_the_reconstruction(text_model: TextModel) -> None:
    found = text_model.paraphrase(TEXTS, n=3, noise_scale=0.0)
    assert [len(p.candidates) for p in found] == [1] * len(TEXTS)
    assert [p.candidates[0].text for p in found] == text_model.reconstruct(TEXTS)
    again = text_model.paraphrase(TEXTS, n=3, noise_scale=0.0, seed=7, distinct=False)
    for one, all_ in zip(found, again, strict=True):
        assert {c.text for c in all_.candidates} == {one.candidates[0].text}
        assert len(all_.candidates) == 3


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(strategy="sample", top_k=8)])
def test_company_does_not_matter(text_model: TextModel, decoding: Decoding) -> None:
    together = text_model.paraphrase(TEXTS, n=3, decoding=decoding)
    for text, one in zip(TEXTS, together, strict=True):
        (alone,) = text_model.paraphrase([text], n=3, decoding=decoding)
        assert [c.text for c in alone.candidates] == [c.text for c in one.candidates]
        assert [c.score for c in alone.candidates] == pytest.approx(
            [c.score for c in one.candidates], abs=1e-4
        )


def test_candidate_k_has_the_noise_of_the_seed_and_k(
    text_model: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[torch.Tensor] = []
    keys: list[int] = []

    def watched(
        model: SequenceVAE, z: torch.Tensor, decoding: Decoding, *, rows: torch.Tensor
    ) -> Generated:
        drawn.append(z)
        keys.extend(rows.tolist())
        return generate(model, z, decoding, rows=rows)

    monkeypatch.setattr(task, "generate", watched)
    text_model.paraphrase(TEXTS, n=3, noise_scale=0.7, seed=-5, distinct=False)
    posterior = text_model.encode(TEXTS)
    assert isinstance(posterior, DiagonalGaussian)
    deviation = (0.5 * posterior.log_variance).exp()
    noise = normal(torch.tensor([-5]), (3, posterior.mean.shape[1]))
    wanted = posterior.mean[:, None] + 0.7 * deviation[:, None] * noise
    torch.testing.assert_close(torch.cat(drawn), wanted.flatten(0, 1), rtol=1e-5, atol=1e-5)
    assert keys == [0, 1, 2] * len(TEXTS)


def test_candidates_are_distinct_and_ranked(text_model: TextModel) -> None:
    for one in text_model.paraphrase(TEXTS, n=4, noise_scale=2.0):
        texts = [c.text for c in one.candidates]
        assert 1 <= len(texts) <= 4 and len(set(texts)) == len(texts)
        scores = [c.score for c in one.candidates]
        assert scores == sorted(scores, reverse=True)


def test_too_few_different_candidates_are_drawn_for_again(
    text_model: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[int] = []
    drawn: list[torch.Tensor] = []

    def watched(
        model: SequenceVAE, z: torch.Tensor, decoding: Decoding, *, rows: torch.Tensor
    ) -> Generated:
        keys.extend(rows.tolist())
        drawn.extend(z)
        return generate(model, z, decoding, rows=rows)

    monkeypatch.setattr(task, "generate", watched)
    (found,) = text_model.paraphrase(TEXTS[:1], n=3, noise_scale=1e-6)
    assert len(found.candidates) == 1
    assert keys == list(range(3 * task.ROUNDS))
    assert len({tuple(z.tolist()) for z in drawn}) == len(drawn)


def test_the_seed_and_the_noise_matter(text_model: TextModel) -> None:
    first = text_model.paraphrase(TEXTS, n=3)
    assert first == text_model.paraphrase(TEXTS, n=3)
    assert first != text_model.paraphrase(TEXTS, n=3, seed=1)
    assert first != text_model.paraphrase(TEXTS, n=3, noise_scale=3.0)


def test_the_score_is_the_log_probability_per_piece_given_the_mean(
    text_model: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = generate(text_model.model, text_model.encode(TEXTS).mean, Decoding())
    monkeypatch.setattr(task, "generate", lambda *_, **__: written)
    for row, text in enumerate(TEXTS):
        (found,) = text_model.paraphrase([text], n=len(TEXTS), distinct=False)
        mean = text_model.encode([text]).mean
        scores = []
        for ids, complete in zip(written.ids, written.complete.tolist(), strict=True):
            batch = batch_of([ids], torch.device("cpu"), ends=complete)
            with torch.inference_mode():
                nll = text_model.model.reconstruction(batch, mean[None])[0, 0]
            scores.append(-float(nll) / (len(ids) + complete))
        wanted = sorted(scores, reverse=True)
        assert [c.score for c in found.candidates] == pytest.approx(wanted, abs=1e-4), row


def test_copies_are_flagged_and_last(
    text_model: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "the red cat"
    ids = [text_model.tokenizer.encode(t) for t in (text, "The Red cat", "old dog", "old dog")]
    written = Generated(ids, torch.zeros(4), torch.ones(4, dtype=torch.bool))
    monkeypatch.setattr(task, "generate", lambda *_, **__: written)
    (found,) = text_model.paraphrase([text], n=4)
    assert [c.copy for c in found.candidates] == [False, True, True]
    assert found.candidates[0].text == "old dog"


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"noise_scale": -1.0}, {"noise_scale": float("inf")}]
)
def test_numbers_out_of_range_are_refused(text_model: TextModel, options: dict[str, float]) -> None:
    with pytest.raises(UserError, match="paraphrase: n is"):
        text_model.paraphrase(["x"], **options)  # type: ignore[arg-type]
