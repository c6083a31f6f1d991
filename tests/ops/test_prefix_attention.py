import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqvae.ops.prefix_attention import prefix_attention


def loop(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor | None,
    prefix_value: Tensor | None,
    causal: bool,
    lengths: Tensor | None,
) -> Tensor:
    """The definition, one score at a time."""
    out = torch.zeros_like(query)
    batch, heads, steps, width = query.shape
    late = key.shape[2] - steps
    for b in range(batch):
        for h in range(heads):
            for t in range(steps):
                seen: list[tuple[Tensor, Tensor]] = []
                if prefix_key is not None and prefix_value is not None:
                    seen += zip(prefix_key[b, h], prefix_value[b, h], strict=True)
                for s in range(key.shape[2]):
                    real = lengths is None or s < int(lengths[b])
                    if real and (not causal or s <= t + late):
                        seen.append((key[b, h, s], value[b, h, s]))
                scores = [math.exp(float(query[b, h, t] @ k) / math.sqrt(width)) for k, _ in seen]
                for score, (_, v) in zip(scores, seen, strict=True):
                    out[b, h, t] += score / sum(scores) * v
    return out


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    steps=st.integers(1, 5),
    earlier=st.integers(0, 3),
    prefix=st.integers(0, 3),
    causal=st.booleans(),
    padded=st.booleans(),
)
def test_equals_a_loop(steps: int, earlier: int, prefix: int, causal: bool, padded: bool) -> None:
    total = steps + earlier
    query = drawn(0, 2, 2, steps, 4)
    key, value = drawn(1, 2, 2, total, 4), drawn(2, 2, 2, total, 4)
    prefix_key = drawn(3, 2, 2, prefix, 4) if prefix else None
    prefix_value = drawn(4, 2, 2, prefix, 4) if prefix else None
    lengths = torch.tensor([total, max(1, total - 2)]) if padded else None
    found = prefix_attention(
        query, key, value, prefix_key, prefix_value, causal=causal, lengths=lengths
    )
    expected = loop(query, key, value, prefix_key, prefix_value, causal, lengths)
    # A query past the end of its row, and not causal, still sees the row: no step is without keys.
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("causal", [True, False])
def test_gradcheck(causal: bool) -> None:
    tensors = [drawn(i, 1, 2, size, 2).requires_grad_() for i, size in enumerate((3, 3, 3, 2, 2))]

    def attend(*parts: Any) -> Tensor:  # noqa: ANN401
        return prefix_attention(*parts, causal=causal)

    assert torch.autograd.gradcheck(attend, tensors)


def test_the_prefix_is_always_visible() -> None:
    query, key, value = (drawn(i, 1, 1, 4, 2).requires_grad_() for i in range(3))
    prefix_key, prefix_value = (drawn(i, 1, 1, 2, 2).requires_grad_() for i in (3, 4))
    out = prefix_attention(query, key, value, prefix_key, prefix_value)
    for step in range(4):
        (grad,) = torch.autograd.grad(out[0, 0, step].sum(), prefix_value, retain_graph=True)
        assert bool((grad != 0).all())
        (grad,) = torch.autograd.grad(out[0, 0, step].sum(), value, retain_graph=True)
        assert bool((grad[0, 0, : step + 1] != 0).all())
        assert not grad[0, 0, step + 1 :].any()
