"""A prior fitted to a finished run: found by all that use the run, and better on what was held out."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqvae.cli import main
from seqvae.data.corpus import Corpus
from seqvae.errors import UserError
from seqvae.posteriors import Posterior
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import FittedPriorChoice, Flow, Mixture
from seqvae.priors.flow import FlowPrior
from seqvae.priors.mixture import MixturePrior
from seqvae.priors.standard import StandardPrior
from seqvae.training import Trainer, load_text
from seqvae.training.fit_prior import Fitting, fit_density, fit_prior
from tests.training.runs import TRANSFORMER, experiment

QUICK = Fitting(steps=40, batch=64, learning_rate=1e-2)


def posteriors(of: int, batches: int = 4, rows: int = 100) -> list[Posterior]:
    """Means in two clusters, at (2, 2) and (-2, -2), of deviation .5 together with the posteriors'."""
    generator = torch.Generator().manual_seed(of)
    made: list[Posterior] = []
    for _ in range(batches):
        side = torch.where(torch.rand(rows, 1, generator=generator) < 0.5, 2.0, -2.0)
        means = side + 0.4 * torch.randn(rows, 2, generator=generator)
        made.append(DiagonalGaussian(means, torch.full((rows, 2), math.log(0.3**2))))
    return made


@pytest.mark.parametrize("config", [Mixture(components=4), Flow(layers=6, width=32)])
def test_the_fit_comes_to_the_entropy_of_what_it_is_fitted_to(config: FittedPriorChoice) -> None:
    fitting = Fitting(steps=400, batch=256, learning_rate=2e-2)
    fitted = fit_density(config, posteriors(0), posteriors(1), fitting)
    entropy = math.log(2) + math.log(2 * math.pi * math.e) + math.log(0.25)
    assert fitted.fitted == pytest.approx(entropy, abs=0.15)
    # A variance of 4.25 where 1 is expected.
    assert fitted.standard == pytest.approx(math.log(2 * math.pi) + 4.25, abs=0.2)
    assert fitted.gain == pytest.approx(fitted.standard - fitted.fitted)
    assert 0 < fitted.step <= 400
    again = fit_density(config, posteriors(0), posteriors(1), replace(fitting, steps=40))
    twice = fit_density(config, posteriors(0), posteriors(1), replace(fitting, steps=40))
    assert again.fitted == twice.fitted


def test_a_fit_that_gets_worse_again_keeps_the_best() -> None:
    few: list[Posterior] = [p.select(slice(0, 4)) for p in posteriors(0, batches=1)]
    fitting = Fitting(steps=200, batch=64, learning_rate=2e-2)
    fitted = fit_density(Flow(layers=6, width=32), few, posteriors(1), fitting)
    assert fitted.step < 200


@pytest.fixture(scope="module")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    Trainer(experiment(corpus, run)).fit()
    return run


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "copy")


def prior_of(run: Path, prior: str | None = None) -> torch.nn.Module:
    return load_text(run, prior=prior).need_latent("test").prior  # type: ignore[arg-type]


def kept(run: Path) -> dict[str, Tensor]:
    return prior_of(run).state_dict()


@pytest.mark.parametrize(
    ("config", "kind"), [(Mixture(components=3), MixturePrior), (Flow(2, 8), FlowPrior)]
)
def test_a_run_has_its_fitted_prior_until_it_is_told_otherwise(
    config: FittedPriorChoice, kind: type, copied: Path
) -> None:
    before = load_text(copied)
    with pytest.raises(UserError, match="has no fitted prior: run `seqvae fit-prior"):
        load_text(copied, prior="fitted")
    fitted = fit_prior(copied, config, QUICK, progress=False)
    assert fitted.gain > 0
    model = load_text(copied)
    found = model.need_latent("test").prior
    assert isinstance(found, kind)
    assert isinstance(prior_of(copied, "fitted"), kind)
    assert isinstance(prior_of(copied, "standard"), StandardPrior)
    for name, value in fitted.prior.state_dict().items():
        assert torch.equal(value, found.state_dict()[name])
    assert model.info["fitted_prior"]["measured"]["gain"] == fitted.gain
    # All else is as it was.
    texts = ["the cat sees it"]
    assert (model.latent_mean(texts) == before.latent_mean(texts)).all()
    standard, learned = before.score(texts, 50)[0], model.score(texts, 50)[0]
    assert standard.reconstruction == pytest.approx(learned.reconstruction)
    assert standard.nll_iw != pytest.approx(learned.nll_iw)


def test_the_command_line(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copied.parent)
    quick = ["--steps", "40", "--batch", "64", "--learning-rate", "1e-2"]
    assert main(["fit-prior", "copy", "--kind", "flow", *quick]) == 0
    out = capsys.readouterr().out
    assert "the ELBO gains" in out and "copy/prior: written" in out
    assert main(["evaluate", "copy", "--samples", "5"]) == 0
    assert "under the standard prior" in capsys.readouterr().out
    both = json.loads((copied / "evaluation-test.json").read_text())
    assert main(["evaluate", "copy", "--samples", "5", "--prior", "standard"]) == 0
    assert "under the" not in capsys.readouterr().out
    alone = json.loads((copied / "evaluation-test.json").read_text())
    assert both["nll_iw_standard"] == alone["nll_iw"] != both["nll_iw"]
    assert both["nll_iw_standard_se"] == alone["nll_iw_se"]
    for prior in ("fitted", "standard"):
        assert main(["sample", "copy", "--n", "2", "--prior", prior]) == 0
        assert main(["score", "copy", "the cat", "--prior", prior]) == 0


def test_a_prior_of_other_weights_is_refused(copied: Path) -> None:
    fit_prior(copied, Flow(2, 8), QUICK, progress=False)
    with pytest.raises(
        UserError, match="fitted to the best weights, of step 16, and these are the last"
    ):
        load_text(copied, "last")
    load_text(copied, "last", prior="standard")
    # It is fitted again, not twice.
    first = kept(copied)
    fit_prior(copied, Flow(2, 8), replace(QUICK, seed=1), progress=False)
    assert not torch.equal(first["affine.bias"], kept(copied)["affine.bias"])


def test_a_damaged_prior_is_refused(copied: Path) -> None:
    fit_prior(copied, Flow(2, 8), QUICK, progress=False)
    (copied / "prior" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="sha256 differs"):
        load_text(copied)
    load_text(copied, prior="standard")


def test_what_cannot_be_fitted_is_refused(corpus: Corpus, trained: Path, run: Path) -> None:
    Trainer(experiment(corpus, run, model=replace(TRANSFORMER, prior=Flow(2, 8)), steps=8)).fit()
    with pytest.raises(UserError, match=r"was trained with it \(FlowPrior\)"):
        fit_prior(run, Flow(), progress=False)
    with pytest.raises(UserError, match="--steps must be above 0, got 0"):
        Fitting(steps=0)
    with pytest.raises(UserError, match="nothing is written; use more --steps"):
        fit_prior(trained, Mixture(components=2), Fitting(steps=1), progress=False)
    assert not (trained / "prior").exists()
