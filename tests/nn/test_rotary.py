import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqvae.nn.rotary import Rotary


@given(first=st.integers(0, 50), second=st.integers(0, 50), shift=st.integers(0, 50))
def test_scores_depend_on_distance_alone(first: int, second: int, shift: int) -> None:
    rotary = Rotary(8, 128)
    generator = torch.Generator().manual_seed(first)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator)
    here = (rotary(query, first) * rotary(key, second)).sum()
    there = (rotary(query, first + shift) * rotary(key, second + shift)).sum()
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


def test_a_rotation_keeps_lengths_and_starts_at_none() -> None:
    x = torch.randn(2, 3, 10, 6, generator=torch.Generator().manual_seed(0))
    rotated = Rotary(6, 10)(x)
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(rotated[:, :, 0], x[:, :, 0])
    assert not torch.allclose(rotated[:, :, 5], x[:, :, 5])


def test_step_by_step_equals_at_once() -> None:
    x = torch.randn(1, 2, 7, 4, generator=torch.Generator().manual_seed(1))
    rotary = Rotary(4, 7)
    steps = [rotary(x[:, :, t : t + 1], t) for t in range(7)]
    torch.testing.assert_close(torch.cat(steps, 2), rotary(x), rtol=0, atol=0)


def test_past_the_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_length 5"):
        Rotary(4, 5)(torch.zeros(1, 1, 2, 4), start=4)
