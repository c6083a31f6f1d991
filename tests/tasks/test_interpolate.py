import math

import pytest
import torch

from seqvae.errors import UserError
from seqvae.tasks.interpolate import between
from seqvae.tasks.text_model import TextModel

WAY = torch.linspace(0, 1, 5)


@pytest.mark.parametrize("spherical", [True, False])
def test_the_ends_are_the_reconstructions(text_model: TextModel, spherical: bool) -> None:
    a, b = "the red cat sat", "old dog"
    found = text_model.interpolate(a, b, 6, spherical=spherical)
    assert len(found) == 6
    assert [found[0], found[-1]] == text_model.reconstruct([a, b])


def test_the_arc_keeps_length_and_pace() -> None:
    first, last = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    points = between(first, last, WAY, spherical=True)
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 2.0))
    angles = torch.atan2(points[:, 1], points[:, 0])
    torch.testing.assert_close(angles, WAY * math.pi / 2)


def test_the_line_is_straight() -> None:
    first, last = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    points = between(first, last, WAY, spherical=False)
    torch.testing.assert_close(points, torch.stack([1 - WAY, 3 * WAY], 1))


@pytest.mark.parametrize("last", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 1e-6]])
def test_where_there_is_no_arc_the_line_is_taken(last: list[float]) -> None:
    first = torch.tensor([1.0, 0.0])
    points = between(first, torch.tensor(last), WAY, spherical=True)
    assert points.isfinite().all()
    torch.testing.assert_close(points[0], first)
    torch.testing.assert_close(points[-1], torch.tensor(last))


def test_the_same_text_stays_where_it_is(text_model: TextModel) -> None:
    assert len(set(text_model.interpolate("the cat", "the cat", 4))) == 1


def test_one_step_is_refused(text_model: TextModel) -> None:
    with pytest.raises(UserError, match="steps is 1"):
        text_model.interpolate("a", "b", 1)
