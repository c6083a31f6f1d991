import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from seqvae.nn.rotary import Rotary
from seqvae.ops import prefix_attention as module
from seqvae.ops.dispatch import Path, explain, use
from seqvae.ops.prefix_attention import prefix_attention, route
from seqvae.ops.prefix_operators import Tensors


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


def test_on_a_cpu_it_is_torch_s_attention() -> None:
    query, key, value, _, _, lengths, *_ = given_tensors(6, lengths=True)
    prefix = [drawn(i, 2, 2, 3, 32).float() for i in (3, 4)]
    paths: tuple[Path, ...] = ("reference", "sdpa", "triton", "aot")
    for path in paths:
        with use(path):
            plain = prefix_attention(query, key, value)
            masked = prefix_attention(query, key, value, *prefix, lengths=lengths)
        assert torch.equal(plain, F.scaled_dot_product_attention(query, key, value, is_causal=True))
        keys, values = torch.cat([prefix[0], key], 2), torch.cat([prefix[1], value], 2)
        seen = torch.ones(6, 6).tril().bool() & (torch.arange(6) < lengths[:, None, None, None])
        seen = torch.cat([torch.ones(2, 1, 6, 3, dtype=torch.bool), seen], -1)
        assert torch.equal(
            masked, F.scaled_dot_product_attention(query, keys, values, attn_mask=seen)
        )
    choice = next(choice for choice in explain() if choice.op == "prefix_attention")
    assert str(choice) == "prefix_attention: reference (CPU: torch's attention)"


@pytest.mark.parametrize("steps", [5, 2])
def test_rotates_as_the_module_does(steps: int) -> None:
    rotary = Rotary(32, 9)
    query, key, value, *_ = given_tensors(5)
    query = query[:, :, 5 - steps :]
    turned = rotary(query, 5 - steps), rotary(key), value
    found = prefix_attention(query, key, value, rotary=(rotary.cosine, rotary.sine))
    assert torch.equal(found, prefix_attention(*turned))


@pytest.mark.parametrize("causal", [True, False])
def test_a_row_that_sees_nothing_is_zero(causal: bool) -> None:
    query, key, value, *_ = (x.requires_grad_() for x in given_tensors(5)[:3])
    out = prefix_attention(query, key, value, causal=causal, lengths=torch.tensor([0, 4]))
    found = torch.autograd.grad(out.square().sum(), (query, key, value))
    assert not out[0].any()
    assert not any(x[0].any() for x in found)
    assert all(bool(x.isfinite().all()) for x in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": (2, 2, 6, 32)}, "do not fit"),
        ({"query": (2, 5, 32)}, "query must be"),
        ({"value": (2, 2, 5, 16)}, "key and value"),
        ({"key": (2, 1, 5, 32), "value": (2, 1, 5, 32)}, "do not fit"),
        ({"prefix_value": None}, "prefix_key goes with prefix_value"),
        ({"prefix_key": (2, 2, 3, 16), "prefix_value": (2, 2, 3, 16)}, "prefixes must be"),
        ({"prefix_key": (1, 2, 3, 32), "prefix_value": (1, 2, 3, 32)}, "prefixes must be"),
        ({"lengths": (3,)}, r"lengths must be \[2\]"),
        ({"rotary": ((4, 16), (4, 16))}, "rotary tables must be"),
        ({"rotary": ((5, 32), (5, 32))}, "rotary tables must be"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    sizes: dict[str, Any] = {name: (2, 2, 5, 32) for name in ("query", "key", "value")}
    sizes |= {name: (2, 2, 3, 32) for name in ("prefix_key", "prefix_value")} | change
    arguments: dict[str, Any] = {}
    for name, size in sizes.items():
        if name == "rotary":
            arguments[name] = tuple(torch.zeros(each) for each in size)
        elif name == "lengths":
            arguments[name] = torch.ones(size, dtype=torch.int64)
        else:
            arguments[name] = None if size is None else torch.zeros(size)
    with pytest.raises(ValueError, match=message):
        prefix_attention(**arguments)


def test_refuses_fractional_lengths() -> None:
    with pytest.raises(TypeError, match="lengths must be integers"):
        prefix_attention(*given_tensors(5)[:3], lengths=torch.ones(2))


def given_tensors(
    steps: int,
    *,
    head: int = 32,
    prefix: int = 0,
    lengths: bool = False,
    rotary: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Any:  # noqa: ANN401
    """What `PrefixAttention` takes, [2, 2, steps, head]."""
    query, key, value = (drawn(i, 2, 2, steps, head).to(dtype) for i in range(3))
    prefixes = [drawn(i, 2, 2, prefix, head).to(dtype) if prefix else None for i in (3, 4)]
    tables = [torch.ones(steps, head // 2) if rotary else None for _ in range(2)]
    counts = torch.tensor([steps, 1]) if lengths else None
    return query, key, value, *prefixes, counts, *tables


BFLOAT16 = torch.bfloat16
HALF: dict[str, Any] = {"dtype": BFLOAT16, "head": 64}


@pytest.mark.parametrize(
    ("arch", "steps", "given", "to"),
    [
        (90, 16, {}, "tile"),
        (90, 128, HALF, "tile"),
        (90, 128, {**HALF, "prefix": 16, "rotary": True, "lengths": True}, "tile"),
        (90, 128, {**HALF, "prefix": 17}, "tiles"),
        (90, 129, HALF, "sdpa"),
        (90, 129, {**HALF, "rotary": True}, "tiles"),
        (90, 508, {**HALF, "prefix": 4}, "tiles"),
        (90, 509, {**HALF, "prefix": 4}, "sdpa"),
        (90, 1024, {**HALF, "lengths": True}, "tiles"),
        (90, 1025, {**HALF, "lengths": True}, "sdpa"),
        (90, 64, {**HALF, "head": 128, "prefix": 16}, "tile"),
        (90, 65, {**HALF, "head": 128}, "sdpa"),
        (90, 65, {**HALF, "head": 128, "prefix": 1}, "tiles"),
        (90, 257, {**HALF, "head": 128, "rotary": True}, "sdpa"),
        (90, 64, {}, "tile"),
        (90, 63, {"prefix": 2}, "sdpa"),
        (90, 32, {"head": 64}, "tile"),
        (90, 33, {"head": 64}, "sdpa"),
        (90, 4, {"head": 128}, "sdpa"),
        (80, 64, {**HALF, "prefix": 16}, "tile"),
        (80, 65, {**HALF, "prefix": 16}, "sdpa"),
        (80, 300, {**HALF, "head": 32, "prefix": 16}, "tiles"),
        (75, 4, {**HALF}, "sdpa"),
        (100, 128, HALF, "tile"),
        (120, 64, HALF, "tile"),
        (120, 65, HALF, "sdpa"),
        (90, 4, {"head": 40}, "sdpa"),
        (90, 4, {"prefix": 33}, "sdpa"),
        (90, 4, {"dtype": torch.float64}, "sdpa"),
    ],
)
def test_routes(
    monkeypatch: pytest.MonkeyPatch, arch: int, steps: int, given: dict[str, Any], to: str
) -> None:
    monkeypatch.setattr(module, "architecture", lambda device: arch)
    found, why = route(given_tensors(steps, **given))
    assert found == to
    assert why


def test_a_cache_and_mixed_dtypes_go_to_torch() -> None:
    query, key, value, *rest = given_tensors(4)
    cached: Tensors = (query[:, :, 3:], key, value, *rest)
    assert route(cached) == ("sdpa", "fewer queries than keys: a cache")
    assert route((query, key.double(), value.double(), *rest)) == ("sdpa", "several dtypes")


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize(("prefix", "lengths"), [(3, False), (0, True), (3, True), (0, False)])
@pytest.mark.parametrize("causal", [False, True])
def test_the_way_of_a_gpu_to_torch(prefix: int, lengths: bool, rotary: bool, causal: bool) -> None:
    """Masks in words, and lengths of 0 apart, are the reference."""
    tensors = given_tensors(5, prefix=prefix, rotary=rotary)
    counts = torch.tensor([0, 4]) if lengths else None
    tables = None if tensors[6] is None else tensors[6:]
    found = module._sdpa((*tensors[:5], counts, *tensors[6:]), causal)
    right = prefix_attention(*tensors[:5], causal=causal, lengths=counts, rotary=tables)
    torch.testing.assert_close(found, right)
