"""What is done against collapse, beside the textbook run that collapses on the same sentences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqvae import encoders
from seqvae.config import Model
from seqvae.data.corpus import Corpus
from seqvae.objectives import Elbo
from seqvae.posteriors import Gaussian
from seqvae.schedules import Constant
from seqvae.training import load_text, train
from tests.training.runs import GRU, experiment, rows

STEPS = 150
NAIVE = replace(GRU, encoder=encoders.Gru(width=32, pooling="last"))


def trained(corpus: Corpus, run: Path, model: Model = NAIVE, **settings: Any) -> dict[str, float]:  # noqa: ANN401
    """The last validation of a run at beta 1 from its first step."""
    usual: dict[str, Any] = {
        "objective": Elbo(Constant(1.0)),
        "steps": STEPS,
        "validate_every": STEPS,
        "validate_sequences": 16,
        "checkpoint_every": 1000,
        "learning_rate": 0.01,
        "guard": "off",
    }
    train(experiment(corpus, run, model=model, **{**usual, **settings}))
    return [row for row in rows(run) if "bound" in row][-1]


@pytest.fixture(scope="module")
def naive(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    found = trained(corpus, tmp_path_factory.mktemp("naive") / "run")
    assert found["kl"] < 0.5
    return found


def test_a_committed_rate_is_kept_and_used(
    corpus: Corpus, run: Path, naive: dict[str, float]
) -> None:
    """The KL is a floor by construction; that z is told more is what is found (and MI stays far below KL)."""
    model = replace(NAIVE, posterior=Gaussian(8, committed=2.0))
    found = trained(corpus, run, model)
    assert found["kl"] >= 2.0
    assert found["prior_gap"] > 1.4 * naive["prior_gap"]
    assert found["bound"] < naive["bound"]
    assert load_text(run, "last").info["experiment"].model.posterior.committed == 2.0
