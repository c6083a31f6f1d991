"""Members that do not go together are refused by name, with what to do instead."""

from typing import Any

import pytest

from seqvae.config import Experiment, Model
from seqvae.errors import UserError
from seqvae.objectives import FreeBits, RateTarget
from seqvae.posteriors import Gaussian, Iaf, Ladder, LowRank, Vmf
from seqvae.priors import Flow, Mixture, Vamp
from seqvae.priors import Ladder as LadderOfPrior


@pytest.mark.parametrize("prior", [Mixture(), Vamp(), Flow()])
@pytest.mark.parametrize("variant", ["dimension", "batch_dimension", "gate"])
def test_free_bits_of_dimensions_need_dimensions(prior: Any, variant: Any) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=f"{variant} and model.prior:.*one number.*batch_total"):
        Experiment(objective=FreeBits(variant=variant), model=Model(prior=prior))
    # A language model has no KL at all.
    Experiment(objective=FreeBits(variant=variant), model=Model(prior=prior), latent="none")


@pytest.mark.parametrize("objective", [FreeBits(variant="total"), RateTarget(floor=0.5)])
def test_free_bits_of_the_whole_do_not(objective: Any) -> None:  # noqa: ANN401
    Experiment(objective=objective, model=Model(prior=Flow()))


def test_pseudo_inputs_and_a_normalisation_over_texts() -> None:
    model = Model(prior=Vamp(), posterior=Gaussian(batch_norm=0.6))
    with pytest.raises(UserError, match=r"prior:vamp and --model.posterior.batch-norm 0.6"):
        Experiment(model=model)
    Experiment(model=model, latent="none")


@pytest.mark.parametrize("posterior", [LowRank(), Iaf()])
def test_pseudo_inputs_have_diagonal_posteriors(posterior: Any) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=r"prior:vamp and model.posterior:(low-rank|iaf) do not"):
        Experiment(model=Model(prior=Vamp(), posterior=posterior))


def test_free_bits_of_dimensions_under_a_flow_of_the_posterior() -> None:
    with pytest.raises(UserError, match=r"gate and model.posterior:iaf do not go together"):
        Experiment(objective=FreeBits(variant="gate"), model=Model(posterior=Iaf()))
    # A low-rank Gaussian's KL has a share for each dimension.
    Experiment(objective=FreeBits(variant="gate"), model=Model(posterior=LowRank()))


@pytest.mark.parametrize("prior", [Mixture(), Vamp(), Flow()])
def test_the_sphere_has_a_prior_of_its_own(prior: Any) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=r"posterior:vmf and model.prior:.* unit sphere"):
        Experiment(model=Model(prior=prior, posterior=Vmf()))
    with pytest.raises(UserError, match=r"gate and model.posterior:vmf do not go together"):
        Experiment(objective=FreeBits(variant="gate"), model=Model(posterior=Vmf()))
    Experiment(model=Model(posterior=Vmf()))


@pytest.mark.parametrize(
    ("objective", "asked"),
    [
        (FreeBits(variant="level"), r"--objective.variant level"),
        (RateTarget(floor=0.5, floor_over="level"), r"--objective.floor-over level"),
    ],
)
def test_free_bits_of_levels_need_levels_with_a_kl_each(objective: Any, asked: str) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=f"{asked} and model.posterior:gaussian with.*one level"):
        Experiment(objective=objective)
    for posterior, prior, of_one in (
        (Ladder(), Mixture(), "model.prior:mixture"),
        (LowRank(), LadderOfPrior(), "model.prior:ladder"),
        (Iaf(), LadderOfPrior(), "model.posterior:iaf"),
    ):
        with pytest.raises(UserError, match=f"{asked} and {of_one} .*one number for all levels"):
            Experiment(objective=objective, model=Model(posterior=posterior, prior=prior))
    for members in (
        Model(posterior=Ladder(), prior=LadderOfPrior()),
        Model(posterior=Ladder()),
        Model(prior=LadderOfPrior()),
    ):
        Experiment(objective=objective, model=members)
    # Where nothing is free, it does not matter over what.
    Experiment(objective=RateTarget(floor_over="level"))
