import dataclasses
import math
from typing import Any

import pytest
import torch

from seqvae.decoders import DecoderChoice, FrameDecoderChoice
from seqvae.encoders import ContentChoice, EncoderChoice, StyleChoice
from seqvae.likelihoods import Bernoulli, FrameLikelihoodChoice, LikelihoodChoice
from seqvae.objectives import FreeBits, ObjectiveChoice, RateTarget
from seqvae.objectives.free_bits import free_bits
from seqvae.posteriors import PosteriorChoice, SpeechPosteriorChoice
from seqvae.priors import PriorChoice, StylePriorChoice
from seqvae.schedules import Cyclical, Linear, ScheduleChoice, Sigmoid
from tests.laws import Law, variants
from tests.laws_unit import LAWS

CHOICES: dict[str, list[Any]] = {
    "posterior": variants(PosteriorChoice),
    "frame_posterior": variants(SpeechPosteriorChoice),
    "prior": list(dict.fromkeys(variants(PriorChoice, StylePriorChoice))),
    "objective": variants(ObjectiveChoice),
    "schedule": [*variants(ScheduleChoice), Linear(2.0, 0.5, 0.2, 0.2), Cyclical(cycles=3, ramp=0)],
    "likelihood": variants(LikelihoodChoice),
    "encoder": variants(EncoderChoice, StyleChoice),
    "decoder": variants(DecoderChoice),
    "frame_likelihood": variants(FrameLikelihoodChoice),
    "unit_likelihood": variants(Bernoulli),
    "frame_encoder": variants(ContentChoice),
    "frame_decoder": variants(FrameDecoderChoice),
}


def label(config: Any) -> str:  # noqa: ANN401
    """The class and what is special about this variant."""
    default = variants(type(config))[0]
    special = [
        f"{f.name}={getattr(config, f.name)}"
        for f in dataclasses.fields(config)
        if getattr(config, f.name) != getattr(default, f.name)
    ]
    return "-".join([type(config).__name__, *special])


CASES = [
    pytest.param(config, law, id=f"{kind}-{label(config)}-{law.__name__}")
    for kind, configs in CHOICES.items()
    for config in configs
    for law in LAWS[kind]
]


@pytest.mark.parametrize(("config", "law"), CASES)
def test_law(config: Any, law: Law) -> None:  # noqa: ANN401
    law(config)


def test_variants_cover_every_option() -> None:
    found = {label(config) for config in variants(ObjectiveChoice)}
    assert {"RateTarget", "RateTarget-controller=lagrangian", "FreeBits-variant=gate"} <= found
    assert "Gaussian-batch_norm=0.5" in {label(config) for config in variants(PosteriorChoice)}


# KL [2 sequences, 2 dimensions] of one level and a floor of 4 nats (2 a dimension) that tell all
# variants apart, but for that of levels, whose values are below.
KL = [[0.0, 6.0], [1.0, 1.0]]
FLOORS = {
    "dimension": 6.0,
    "batch_dimension": 5.5,
    "total": 5.0,
    "batch_total": 4.0,
    "level": 4.0,
    "gate": 3.0,
}


@pytest.mark.parametrize(("variant", "expected"), FLOORS.items())
def test_free_bits_have_their_floor_where_the_name_says(variant: Any, expected: float) -> None:  # noqa: ANN401
    assert float(free_bits([torch.tensor(KL)], 4.0, variant)) == pytest.approx(expected)


@pytest.mark.parametrize("variant", FLOORS)
def test_free_bits_cost_nothing_below_the_floor_and_all_above(variant: Any) -> None:  # noqa: ANN401
    low = torch.full((3, 2), 0.5, requires_grad=True)
    penalised = free_bits([low], 4.0, variant)
    assert float(penalised.detach()) == (0.0 if variant == "gate" else 4.0)
    penalised.backward()  # type: ignore[no-untyped-call]
    assert low.grad is not None and (low.grad == 0).all()
    high = torch.full((3, 2), 5.0, requires_grad=True)
    penalised = free_bits([high], 4.0, variant)
    assert float(penalised.detach()) == pytest.approx(10.0)
    penalised.backward()  # type: ignore[no-untyped-call]
    assert high.grad is not None
    torch.testing.assert_close(high.grad, torch.full((3, 2), 1 / 3))


def test_free_bits_of_levels_hold_each_level_up() -> None:
    # Levels of 2 and of 1 dimension with 7 and .5 nats on average, each with 2 free of 4.
    above = torch.tensor([[4.0, 3.0], [5.0, 2.0]], requires_grad=True)
    below = torch.tensor([[0.0], [1.0]], requires_grad=True)
    penalised = free_bits([above, below], 4.0, "level")
    assert float(penalised.detach()) == pytest.approx(9.0)
    penalised.backward()  # type: ignore[no-untyped-call]
    assert above.grad is not None and below.grad is not None
    torch.testing.assert_close(above.grad, torch.full((2, 2), 0.5))
    assert (below.grad == 0).all()
    # One sum for all is above the floor, and the empty level gets no room of its own.
    assert float(free_bits([above, below], 4.0, "batch_total").detach()) == pytest.approx(7.5)


def test_every_free_bits_variant_is_tested() -> None:
    found = {c.variant for c in variants(ObjectiveChoice) if isinstance(c, FreeBits)}
    assert found == set(FLOORS)


@pytest.mark.parametrize("controller", ["pi", "lagrangian"])
@pytest.mark.parametrize("start", [0.01, 300.0])
@pytest.mark.parametrize("rate", [4.0, 16.0])
def test_the_rate_is_reached_from_both_sides(controller: Any, start: float, rate: float) -> None:  # noqa: ANN401
    # A plant whose KL moves 2 % a step towards 6 ln(1 + 5 / beta): beta 1 rests at 11 nats.
    objective = RateTarget(rate=rate, controller=controller).build()
    kl, tail = start, []
    for step in range(4000):
        objective.observe(kl)
        kl += 0.02 * (6 * math.log1p(5 / objective.beta) - kl)
        tail += [kl] if step >= 3000 else []
    assert sum(tail) / len(tail) == pytest.approx(rate, rel=0.02)
    assert max(tail) < 1.05 * rate and min(tail) > 0.95 * rate


@pytest.mark.parametrize("controller", ["pi", "lagrangian"])
@pytest.mark.parametrize("stuck", [0.0, 1e4])
def test_a_stuck_rate_does_not_wind_the_controller_up(controller: Any, stuck: float) -> None:  # noqa: ANN401
    config = RateTarget(controller=controller)
    low, high = config.limits
    back = []
    for held in (2000, 20_000):
        objective = config.build()
        for _ in range(held):
            objective.observe(stuck)
            assert low * 0.999 <= objective.beta <= high * 1.001
        assert objective.beta == pytest.approx(high if stuck else low, rel=0.03)
        # Steps until beta is half-way (in the logarithm) back once the KL is on the other side.
        steps, middle = 0, math.sqrt(low * high)
        while (objective.beta > middle) == bool(stuck):
            objective.observe(0.0 if stuck else 1e4)
            steps += 1
        back.append(steps)
    # Ten times as long at the limit: not a step longer to leave it.
    assert back[0] == back[1] < 1000


def test_schedules_pass_through_their_landmarks() -> None:
    linear = Linear(0.0, 2.0, 0.2, 0.6)
    assert [linear(x) for x in (0.1, 0.2, 0.4, 0.6, 0.9)] == pytest.approx([0, 0, 1, 2, 2])
    assert Sigmoid(0.0, 2.0, 0.5, 0.05)(0.5) == pytest.approx(1.0)
    cyclical = Cyclical(0.0, 1.0, cycles=4, ramp=0.5)
    assert [cyclical(x) for x in (0.0, 0.0625, 0.125, 0.2)] == pytest.approx([0, 0.5, 1, 1])
    assert cyclical(0.25) == cyclical(0.5) == 0.0
    assert cyclical(1.0) == 1.0
