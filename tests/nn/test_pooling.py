from typing import get_args

import pytest
import torch

from seqvae.nn.pooling import Pool, Pooling


@pytest.mark.parametrize("kind", get_args(Pooling))
def test_padding_has_no_influence(kind: Pooling) -> None:
    torch.manual_seed(0)
    pool, states = Pool(4, kind), torch.randn(3, 5, 4)
    mask = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]
    changed = torch.where(mask[..., None], states, torch.full_like(states, 50.0))
    torch.testing.assert_close(pool(states, mask), pool(changed, mask))


def test_each_kind_by_hand() -> None:
    states = torch.tensor([[[1.0, 5.0], [3.0, 1.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    expected = {"mean": [2.0, 3.0], "max": [3.0, 5.0], "mean_max": [5.0, 8.0], "last": [3.0, 1.0]}
    for kind, value in expected.items():
        found = Pool(2, kind)(states, mask)  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.tensor([value]))
