"""Objectives that match all posteriors together with the prior reach it, while each posterior keeps its say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae.batch import Batch
from seqvae.data.corpus import Corpus
from seqvae.data.noise import Noise
from seqvae.evaluation.collapse import Aggregate
from seqvae.evaluation.evaluate import evaluate
from seqvae.evaluation.likelihood import elbo
from seqvae.evaluation.prior_match import prior_mmd
from seqvae.evaluation.proposal import run_width
from seqvae.objectives import Adversarial, Elbo, Info, Mmd, TextObjectiveChoice
from seqvae.schedules import Constant
from seqvae.training import Trainer, load_text
from seqvae.training.guard import CollapseGuard
from tests.training.runs import experiment, rows
from tests.training.test_guard import HEALTHY

LEARN: dict[str, Any] = {
    "steps": 200,
    "tokens_per_batch": 1000,
    "validate_every": 100,
    "validate_sequences": 100,
}


def measured(
    objective: TextObjectiveChoice,
    corpus: Corpus,
    run: Path,
    **more: Any,  # noqa: ANN401
) -> dict[str, float]:
    """A model trained with `objective`, measured on what it was trained on (128 sentences)."""
    trainer = Trainer(experiment(corpus, run, objective=objective, **{**LEARN, **more}))
    trainer.fit()
    model, aggregate, told = trainer.model, Aggregate(), 0.0
    store = corpus.split("train")
    batch = Batch.from_raw(trainer.material.loader.collate(np.arange(len(store))))  # type: ignore[attr-defined]
    one = elbo(model, batch)
    assert one.posterior is not None
    aggregate.add(one.posterior, one.kl_dimensions)
    found = aggregate.diagnose()
    told = float(one.reconstruction.mean())
    with torch.no_grad():
        z = one.posterior.sample(torch.tensor([1]), 20).flatten(0, 1)
    seeds = range(20)
    match = sum(prior_mmd(one.posterior, model.need_latent().prior, s) for s in seeds) / len(seeds)
    return {
        "reconstruction": told,
        "mi": found.mi / found.mi_cap,
        "kl": found.kl,
        "mmd": match,
        "mean": float(z.mean(0).square().mean().sqrt()),
        "deviation": float(z.std(0).mean()),
    }


def test_an_autoencoder_puts_its_latents_anywhere(corpus: Corpus, run: Path) -> None:
    found = measured(Elbo(Constant(0.0)), corpus, run, steps=40)
    assert found["mmd"] > 1.0


@pytest.mark.parametrize(("objective", "least_mi"), [(Mmd(), 0.8), (Info(0.95), 0.6)])
def test_together_they_are_the_prior_and_each_one_informs(
    objective: TextObjectiveChoice, least_mi: float, corpus: Corpus, run: Path
) -> None:
    found = measured(objective, corpus, run)
    # A model of beta 0 ends at 4.6, one of beta 1 at 0.19 with a fiftieth of the information.
    assert found["mmd"] < 0.05
    assert found["mean"] < 0.15 and found["deviation"] == pytest.approx(1.0, abs=0.1)
    assert found["mi"] > least_mi
    assert found["reconstruction"] < 4.0
    assert not (run / "guard.jsonl").exists() or not rows(run, "guard.jsonl")
    valid = [row for row in rows(run) if row["split"] == "valid"]
    best = min(valid, key=lambda row: objective.build().criterion(row) or 0.0)
    model = load_text(run, "best")
    assert model.info["step"] == best["step"]
    # Nothing asked posteriors to be wide: samples from wider ones find more of the likelihood.
    width = run_width(model, corpus)
    plain, wide = (
        evaluate(model.model, corpus, samples=100, widen=w, progress=False)["nll_iw"]
        for w in (0.0, width)
    )
    assert width >= 1.0
    assert wide < plain - 0.5
    # Its posteriors are Gaussian: the likelihood is defined, and bounded by the ELBO.
    for score in model.score(["the cat sees it", "a dog likes us"], 20):
        assert score.nll_iw < -score.elbo + 1.0


@pytest.mark.parametrize("noise", [Noise(), Noise(drop=0.3)], ids=["aae", "daae"])
def test_a_discriminator_does_it_too(noise: Noise, corpus: Corpus, run: Path) -> None:
    # Less weight than on real text: this grammar has but 4.9 nats for z to tell.
    objective = Adversarial(weight=3.0, learning_rate=2e-3)
    found = measured(objective, corpus, run, steps=250, learning_rate=5e-3, noise=noise)
    assert found["mmd"] < 0.3
    assert found["mean"] < 0.4 and found["deviation"] == pytest.approx(1.0, abs=0.25)
    assert found["mi"] > 0.8
    assert found["reconstruction"] < 3.0
    seen = [row["discriminator"] for row in rows(run) if row["split"] == "train"]
    # 2 ln 2 = 1.39 where it cannot tell them apart at all; an autoencoder leaves it at 0.
    assert seen[-1] > 0.9
    model = load_text(run, "last")
    assert set(model.model.state_dict()) == set(
        model.info["experiment"].text.build(60).state_dict()
    )
    assert {path.name for path in (run / "last").glob("*.safetensors")} == {"model.safetensors"}


def test_the_guard_has_no_rate_for_them() -> None:
    guard = CollapseGuard("remedy", aggregate=True)
    dead = {**HEALTHY, "kl": 0.1, "mi": 0.05, "prior_gap": 0.0, "active_units": 0.0}
    verdict = guard.judge(dead, 0.5)
    assert (verdict.problem, verdict.remedy) == ("collapsed", None)
    assert "match the prior with least effort" in verdict.words
    assert "lower --objective.weight" in verdict.words
    alike = guard.judge({**HEALTHY, "kl": 90.0, "mi": 0.3, "prior_gap": 80.0}, 0.55)
    assert alike.problem is None and "KL 90.00 nats, MI 0.30" in alike.words  # said once
    # Much KL is how such an objective works.
    assert guard.judge({**HEALTHY, "kl": 90.0, "mi": 6.8, "prior_gap": 80.0}, 0.6).problem is None
