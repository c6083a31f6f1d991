import json
import math
from pathlib import Path

import pytest
import torch

from seqvae.batch import Batch
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.evaluation.collapse import mutual_information
from seqvae.evaluation.evaluate import Report, evaluate, format_report
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.model import SequenceVAE
from seqvae.posteriors.gaussian import DiagonalGaussian
from tests.tiny import tiny_model

SUBJECTS = ("the cat", "a dog", "my friend", "the old man", "she")
VERBS = ("sees", "likes", "draws", "wants")
OBJECTS = ("a house", "the river", "bread", "two red birds", "it", "nothing at all")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    lines = [f"{s} {v} {o}" for s in SUBJECTS for v in VERBS for o in OBJECTS]
    (folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = PrepareText(
        inputs=(str(folder / "text.txt"),),
        out=folder / "out",
        vocab_size=60,
        byte_fallback=False,
        test=0.2,
    )
    return prepare_text(config, say=lambda notice: None)


def model_of(corpus: Corpus, latent: bool = True) -> SequenceVAE:
    return tiny_model(latent=latent, vocabulary=corpus.tokenizer.vocab_size)


def whole(corpus: Corpus) -> Batch:
    store = corpus.split("test")
    loader = Loader(store, tokens_per_batch=10**5, seed=0, shuffle=False)
    return Batch.from_raw(loader.next_batch())


def test_the_report_is_what_its_parts_measure(corpus: Corpus) -> None:
    model, batch = model_of(corpus), whole(corpus)
    report = evaluate(model, corpus, samples=5, seed=3, max_length=64, progress=False)
    bound = elbo(model, batch, seed=3)
    store = corpus.split("test")
    count = len(store)
    assert report["sequences"] == count > 5
    assert report["skipped"] == 0
    assert report["tokens"] == int(store.lengths.sum()) + count
    assert (report["words"], report["bytes"]) == (int(store.words.sum()), int(store.bytes.sum()))
    assert report["elbo"] == pytest.approx(float(bound.nll.mean()), abs=1e-3)
    assert report["elbo"] == pytest.approx(report["reconstruction"] + report["kl"], abs=1e-3)
    iw = importance_weighted(model, batch, 5, seed=3)
    assert report["nll_iw"] == pytest.approx(float(iw.mean()), abs=1e-3)
    assert report["nll_iw_se"] == pytest.approx(float(iw.std()) / math.sqrt(count), rel=1e-3)
    assert sum(report["kl_by_dimension"]) == pytest.approx(report["kl"], abs=1e-3)
    assert isinstance(bound.posterior, DiagonalGaussian)
    _, cap = mutual_information(bound.posterior.location, bound.posterior.log_variance)
    assert report["mi_cap"] == cap == math.log(count)
    assert report["mi"] <= cap
    assert report["marginal_kl"] == pytest.approx(report["kl"] - report["mi"])
    assert 0 <= report["au"] <= report["dimension"]
    assert 0 <= report["token_accuracy"] <= 1
    assert 0 <= report["exact_match"] <= 1
    nats = report["nll_iw"] * count
    assert report["bits_per_byte"] == pytest.approx(nats / math.log(2) / report["bytes"])
    words = report["words"] + count
    assert report["perplexity_word"] == pytest.approx(math.exp(nats / words))


def test_batches_do_not_change_the_report(corpus: Corpus) -> None:
    model = model_of(corpus)
    settings = {"samples": 3, "max_length": 64, "progress": False}
    many = evaluate(model, corpus, tokens_per_batch=64, **settings)  # type: ignore[arg-type]
    one = evaluate(model, corpus, tokens_per_batch=10**5, **settings)  # type: ignore[arg-type]
    assert many.keys() == one.keys()
    assert many["nll_iw"] == pytest.approx(one["nll_iw"], abs=1e-3)
    assert many["prior_gap"] == pytest.approx(one["prior_gap"], abs=1e-3)
    assert many["bleu"] == pytest.approx(one["bleu"])


def test_a_language_model_has_the_likelihood_alone(corpus: Corpus) -> None:
    model = model_of(corpus, latent=False)
    report = evaluate(model, corpus, max_length=64, progress=False)
    with torch.no_grad():
        exact = model.reconstruction(whole(corpus), None)[0]
    assert report["nll_iw"] == pytest.approx(float(exact.mean()), abs=1e-3)
    assert not {"elbo", "kl", "mi", "au", "prior_gap", "samples"} & report.keys()
    assert "exact" in format_report(report)


def test_limit_and_skipped_sequences_are_counted(corpus: Corpus) -> None:
    model = model_of(corpus, latent=False)
    report = evaluate(model, corpus, limit=7, progress=False)
    assert report["sequences"] + report["skipped"] == 7
    lengths = corpus.split("test").lengths + 2
    longest = int(lengths.max()) - 1
    report = evaluate(model, corpus, max_length=longest, progress=False)
    assert report["skipped"] == int((lengths > longest).sum()) > 0
    assert "longer than" in format_report(report)


def test_the_report_is_json_and_reads_as_a_table(corpus: Corpus) -> None:
    report = evaluate(model_of(corpus), corpus, samples=2, progress=False)
    assert Report(json.loads(json.dumps(report))) == report
    table = str(report)
    for words in ("nats", "of at most", "bits per byte", "active units", "K = 2"):
        assert words in table


def test_user_mistakes(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no split 'exam'"):
        evaluate(model_of(corpus), corpus, "exam", progress=False)
    with pytest.raises(UserError, match="pieces in the tokenizer"):
        evaluate(tiny_model(vocabulary=99), corpus, progress=False)
    with pytest.raises(UserError, match="limit must be"):
        evaluate(model_of(corpus), corpus, limit=0, progress=False)
