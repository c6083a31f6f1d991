"""What is done against collapse, beside the textbook run that collapses on the same sentences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqvae import encoders
from seqvae.config import Model
from seqvae.data.corpus import Corpus
from seqvae.data.noise import Noise
from seqvae.errors import UserError
from seqvae.objectives import Elbo
from seqvae.objectives.refine import Refine
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


def test_a_bag_of_words_is_said_by_z(corpus: Corpus, run: Path, naive: dict[str, float]) -> None:
    """z is told more, at beta 1 and with no other remedy; the bound pays for it here."""
    found = trained(corpus, run, replace(NAIVE, bag_of_words=4.0))
    assert found["kl"] > naive["kl"] + 2.0
    assert found["mi"] > 2 * naive["mi"]
    assert found["prior_gap"] > 2 * naive["prior_gap"]
    learned = [row["bag_of_words"] for row in rows(run) if "bag_of_words" in row]
    assert learned[-1] < learned[0] - 2.0
    assert all("bag_of_words" not in row for row in rows(run) if row["split"] == "valid")
    loaded = load_text(run, "last")
    assert loaded.info["experiment"].model.bag_of_words == 4.0
    assert "bag_of_words.network.0.weight" in loaded.model.state_dict()


def test_passes_that_shall_agree_come_to(corpus: Corpus, run: Path) -> None:
    """With half of the inputs blanked: the disagreement falls by the weight, and z says what is not seen."""
    last = {}
    for weight in (0.01, 5.0):
        model = replace(NAIVE, word_dropout=0.5, fraternal=weight)
        beta = Elbo(Constant(0.2))
        last[weight] = trained(corpus, run.with_name(f"{weight:g}"), model, objective=beta)
        shown = [row for row in rows(run.with_name(f"{weight:g}")) if "fraternal" in row]
        last[weight]["fraternal"] = shown[-1]["fraternal"]
    assert last[5.0]["fraternal"] < 0.5 * last[0.01]["fraternal"]
    loaded = load_text(run.with_name("5"), "last")
    assert loaded.info["experiment"].model.fraternal == 5.0


def test_refined_posteriors_are_heard(corpus: Corpus, run: Path, naive: dict[str, float]) -> None:
    """Semi-amortised: at beta 1, with no other remedy, z tells more and the bound is tighter."""
    found = trained(corpus, run, replace(NAIVE, refine=Refine(4)))
    assert found["bound"] < naive["bound"] - 1.5
    assert found["mi"] > 2 * naive["mi"]
    assert found["prior_gap"] > 2 * naive["prior_gap"]
    loaded = load_text(run, "last")
    assert loaded.model.refine == Refine(4)
    with pytest.raises(UserError, match=r"--model.refine.steps 4 and --noise do not go together"):
        trained(corpus, run, replace(NAIVE, refine=Refine(4)), noise=Noise(drop=0.1))
