import pytest
import torch

from seqvae.ops import normal
from seqvae.tasks.frame_noise import frame_noise


@pytest.mark.parametrize("dimension", [1, 3, 4, 32])
@pytest.mark.parametrize(("first", "steps"), [(0, 7), (3, 4), (5, 1)])
def test_a_part_is_that_of_the_whole(dimension: int, first: int, steps: int) -> None:
    whole = normal(torch.tensor([9]), (7, dimension))
    assert torch.equal(frame_noise(9, first, steps, dimension), whole[first : first + steps])
