"""Every posterior and every prior trains, is saved, loaded and used through the one trainer."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from seqvae.data.corpus import Corpus
from seqvae.posteriors import Gaussian, Iaf, LowRank, PosteriorChoice, Vmf
from seqvae.priors import Flow, Mixture, PriorChoice, Standard, Vamp
from seqvae.training import Trainer, load_text
from tests.training.runs import TRANSFORMER, experiment, rows

MEMBERS: list[tuple[PosteriorChoice, PriorChoice]] = [
    (Gaussian(8), Mixture(4)),
    (Gaussian(8), Vamp(4, 3)),
    (Gaussian(8), Flow(2, 16)),
    (LowRank(8, rank=2), Standard()),
    (Iaf(8, width=16), Flow(2, 16)),
    (Vmf(8), Standard()),
]


@pytest.mark.parametrize(
    ("posterior", "prior"), MEMBERS, ids=lambda member: type(member).__name__.lower()
)
def test_a_run_with_each(
    posterior: PosteriorChoice, prior: PriorChoice, corpus: Corpus, run: Path
) -> None:
    networks = replace(TRANSFORMER, posterior=posterior, prior=prior)
    wanted = experiment(corpus, run, model=networks, steps=48, validate_every=12)
    trainer = Trainer(wanted)
    trainer.fit()
    valid = [row for row in rows(run) if "bound" in row]
    # 48 steps on a tiny grammar: the bound falls by nats.
    assert valid[-1]["bound"] < valid[0]["bound"] - 1.0
    assert math.isfinite(valid[-1]["mi"])
    assert math.isfinite(valid[-1]["prior_gap"])
    model = load_text(run, "last")
    assert model.info["experiment"].model.posterior == posterior
    assert model.info["experiment"].model.prior == prior
    assert len(model.sample(3)) == 3
    texts = ["the cat sees it", "a dog likes us"]
    first, second = model.score(texts, 20)
    assert (first, second) == tuple(model.score(texts, 20))
    for score in (first, second):
        assert score.nll_iw == pytest.approx(-score.elbo, abs=15)
        assert score.nll_iw < -score.elbo + 1.0
    assert len(model.paraphrase(texts, 2)[0].candidates) >= 1
