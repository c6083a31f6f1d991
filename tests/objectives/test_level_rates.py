"""Rates of several levels, each held by a controller of its own."""

import math

import pytest
import torch
from torch import Tensor

from seqvae.objectives import LevelRates, Terms
from seqvae.objectives.objective import BIT_RATE


def terms(content: float, style: float, seconds: float = 2.0) -> Terms:
    """Four sequences with these nats."""

    def level(nats: float) -> Tensor:
        return torch.full((4, 2), nats / 2, requires_grad=True)

    return Terms(
        torch.full((1, 4), 100.0, requires_grad=True),
        {"style": level(style), "content": level(content)},
        seconds=torch.full((4,), seconds),
    )


def test_each_level_reaches_its_own_rate() -> None:
    objective = LevelRates(content=300.0, style=8.0).build()
    # Plants whose rates move 5 % a step towards where their beta would rest them.
    bits, style = 3000.0, 0.5
    for _ in range(3000):
        loss = objective(terms(bits * 2.0 * math.log(2), style), 0.5)
        shown = {name: float(value) for name, value in loss.shown.items()}
        assert shown[BIT_RATE] == pytest.approx(bits, rel=1e-5)
        objective.observe(shown["kl"], 4.0, shown)
        bits += 0.05 * (400 * math.log1p(2 / float(shown["beta_content"])) - bits)
        style += 0.05 * (6 * math.log1p(5 / float(shown["beta_style"])) - style)
    assert bits == pytest.approx(300.0, rel=0.02)
    assert style == pytest.approx(8.0, rel=0.02)


def test_the_rate_in_use_is_held_not_that_of_crops() -> None:
    crops, use = LevelRates(content=300.0).build(), LevelRates(content=300.0).build()
    betas = []
    for objective, measured in ((crops, 300.0), (use, 360.0)):
        for _ in range(600):
            objective.observe(0.0, 4.0, {BIT_RATE: 300.0})
            objective.calibrate(0.0, {BIT_RATE: measured})
        betas.append(objective.content.beta)
    assert betas[1] > 1.5 * betas[0]


def test_a_longer_recording_has_no_higher_rate() -> None:
    objective = LevelRates().build()
    short, long = objective(terms(100.0, 5.0, 1.0), 0.0), objective(terms(200.0, 5.0, 2.0), 0.0)
    assert float(short.shown[BIT_RATE]) == pytest.approx(float(long.shown[BIT_RATE]))
    assert float(short.shown[BIT_RATE]) == pytest.approx(100.0 / math.log(2))


def test_penalties_are_added_as_they_are_and_shown() -> None:
    plain = terms(100.0, 5.0)
    with_penalty = Terms(
        plain.reconstruction,
        plain.kl_dimensions,
        seconds=plain.seconds,
        penalties={"pitch": torch.full((4,), 7.0)},
    )
    without, loss = (LevelRates().build()(t, 0.0) for t in (plain, with_penalty))
    assert float((loss.total - without.total).detach()) == pytest.approx(7.0, abs=1e-4)
    assert float(loss.shown["pitch_penalty"]) == 7.0
    assert loss.shown["beta"] == pytest.approx(without.shown["beta"])
