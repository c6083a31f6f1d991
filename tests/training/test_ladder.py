"""A text model of several levels trains, and each of them is used."""

from dataclasses import replace
from pathlib import Path

import pytest

from seqvae.data.corpus import Corpus
from seqvae.evaluation.levels import level_information
from seqvae.objectives import RateTarget
from seqvae.posteriors import Ladder
from seqvae.priors import Ladder as LadderOfPrior
from seqvae.training import Trainer, load_text
from tests.training.runs import TRANSFORMER, experiment, lines, rows


def test_a_run_in_which_both_levels_are_used(corpus: Corpus, run: Path) -> None:
    networks = replace(TRANSFORMER, posterior=Ladder(8, 2, 16), prior=LadderOfPrior(2, 16))
    wanted = experiment(
        corpus,
        run,
        model=networks,
        objective=RateTarget(rate=6.0, floor=0.5),
        steps=150,
        validate_every=50,
        validate_sequences=160,
    )
    Trainer(wanted).fit()
    valid = [row for row in rows(run) if "bound" in row][-1]
    assert valid["kl"] == pytest.approx(valid["kl_1"] + valid["kl_2"], rel=1e-4)
    assert valid["mi"] == pytest.approx(valid["mi_1"] + valid["mi_2"], abs=0.01)
    assert min(valid["kl_1"], valid["kl_2"]) > 1.0
    train = [row for row in rows(run) if "sequence_2" in row][-1]
    assert train["kl"] == pytest.approx(train["sequence_1"] + train["sequence_2"], rel=1e-4)
    model = load_text(run, "last")
    # Of all 160 sentences, of which no latent can tell more than ln 160 = 5.1 nats.
    information = level_information(model.encode(lines()), model.need_latent("encode").sizes)
    assert information is not None
    assert min(information) > 0.4 and sum(information) > 1.5
    texts = ["the cat sees it", "a dog likes us"]
    first, second = model.score(texts, 20)
    assert (first, second) == tuple(model.score(texts, 20))
    for score in (first, second):
        assert score.nll_iw < -score.elbo + 1.0
    assert len(model.sample(3)) == 3
