"""One decoding step: the definition by a loop, the law with `prefix_attention`, poison, registration, refusals."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqvae.nn.rotary import Rotary
from seqvae.ops.decode_attention import decode_attention, reference
from seqvae.ops.dispatch import explain, use
from seqvae.ops.prefix_attention import prefix_attention

# Arguments by name: tensors, or None.
Case = dict[str, Any]
NAMES = (
    "query",
    "key",
    "value",
    "key_cache",
    "value_cache",
    "position",
    "prefix_key",
    "prefix_value",
)


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def case(
    batch: int,
    heads: int,
    capacity: int,
    positions: list[int],
    prefix: int = 0,
    dtype: torch.dtype = torch.float64,
    width: int = 4,
) -> Case:
    """Inputs whose caches hold NaN at the position and behind it."""
    made: Case = {
        name: drawn(i, batch, heads, width, dtype=dtype)
        for i, name in enumerate(("query", "key", "value"))
    }
    made["position"] = torch.tensor(positions)
    unwritten = torch.arange(capacity) >= made["position"].expand(batch)[:, None]
    for i, name in enumerate(("key_cache", "value_cache"), 3):
        cache = drawn(i, batch, heads, capacity, width, dtype=dtype)
        made[name] = cache.masked_fill(unwritten[:, None, :, None], float("nan"))
    for i, name in enumerate(("prefix_key", "prefix_value"), 5):
        made[name] = drawn(i, batch, heads, prefix, width, dtype=dtype) if prefix else None
    tables = Rotary(width, capacity)
    made["rotary"] = tables.cosine, tables.sine
    return made


def copied(made: Case) -> Case:
    return {name: x.clone() if isinstance(x, Tensor) else x for name, x in made.items()}


def flat(made: Case) -> Case:
    """The arguments of `reference`."""
    rest = {name: x for name, x in copied(made).items() if name != "rotary"}
    cosine, sine = made["rotary"] or (None, None)
    return {**rest, "cosine": cosine, "sine": sine}


def turned(x: Tensor, step: int) -> Tensor:
    """Eq. 34 of Su et al. with complex numbers: lane i turns by step * 10000^(-2 i / D)."""
    half = x.shape[-1] // 2
    angle = step * 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    pair = torch.complex(x[..., :half].double(), x[..., half:].double())
    pair = pair * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([pair.real, pair.imag], -1)


def loop(made: Case) -> Tensor:
    """The definition, one score at a time, in float64."""
    batch, heads, width = made["query"].shape
    out = torch.empty(batch, heads, width, dtype=torch.float64)
    positions = made["position"].expand(batch).tolist()
    for b, step in enumerate(positions):
        for h in range(heads):
            query, key = (turned(made[name][b, h], step) for name in ("query", "key"))
            keys = [*made["key_cache"][b, h, :step].double(), key]
            values = [*made["value_cache"][b, h, :step].double(), made["value"][b, h].double()]
            if made["prefix_key"] is not None:
                keys = [*made["prefix_key"][b, h].double(), *keys]
                values = [*made["prefix_value"][b, h].double(), *values]
            scores = [math.exp(float(query @ k) / math.sqrt(width)) for k in keys]
            weighed = [s / sum(scores) * v for s, v in zip(scores, values, strict=True)]
            out[b, h] = torch.stack(weighed).sum(0)
    return out


@given(
    batch=st.sampled_from([1, 3]),
    heads=st.sampled_from([1, 5]),
    capacity=st.sampled_from([1, 7, 63]),
    prefix=st.sampled_from([0, 1, 5]),
    ragged=st.booleans(),
    data=st.data(),
)
def test_equals_a_loop(
    batch: int, heads: int, capacity: int, prefix: int, ragged: bool, data: st.DataObject
) -> None:
    steps = st.sampled_from(sorted({0, min(1, capacity - 1), capacity - 1}))
    positions = [data.draw(steps) for _ in range(batch if ragged else 1)]
    made = case(batch, heads, capacity, positions, prefix)
    expected = loop(made)
    before = copied(made)
    torch.testing.assert_close(decode_attention(**made), expected, atol=1e-6, rtol=1e-6)
    # The new step is written, and nothing else.
    slot = torch.arange(capacity) == made["position"].expand(batch)[:, None]
    for name, cache in (("key", made["key_cache"]), ("value", made["value_cache"])):
        for b, step in enumerate(made["position"].expand(batch).tolist()):
            written = turned(made["key"][b], step) if name == "key" else made["value"][b]
            torch.testing.assert_close(cache[b, :, step], written, atol=1e-6, rtol=1e-6)
        kept, old = (
            x[~slot[:, None].expand(batch, heads, capacity)]
            for x in (cache, before[f"{name}_cache"])
        )
        assert torch.equal(kept.nan_to_num(7.0), old.nan_to_num(7.0))
    for name in ("query", "key", "value", "position", "prefix_key", "prefix_value"):
        if made[name] is not None:
            assert torch.equal(made[name], before[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("positions", [[256], [0, 256, 63]])
def test_low_precision_is_near_the_loop(dtype: torch.dtype, positions: list[int]) -> None:
    made = case(3, 1, 257, positions, 5, dtype, width=8)
    expected = loop(made)
    found = decode_attention(**made)
    assert found.dtype == dtype
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[dtype]
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_the_definition_and_the_path_for_one_position_agree() -> None:
    made = case(3, 2, 9, [5], 2, torch.float32)
    expected = reference(**flat(made))
    found = decode_attention(**copied(made))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    with use("reference"):
        assert torch.equal(decode_attention(**copied(made)), expected)
    (choice,) = (choice for choice in explain() if choice.op == "decode_attention")
    assert (choice.path, choice.reason) == ("reference", "asked for")


@given(steps=st.integers(1, 8), prefix=st.integers(0, 3), ragged=st.booleans())
def test_step_by_step_equals_all_at_once(steps: int, prefix: int, ragged: bool) -> None:
    shape = (2, 3, steps, 4)
    query, key, value = (drawn(i, *shape, dtype=torch.float32) for i in range(3))
    front = (drawn(3, 2, 3, prefix, 4).float(), drawn(4, 2, 3, prefix, 4).float())
    rotary = Rotary(4, steps)
    expected = prefix_attention(rotary(query), rotary(key), value, *front)
    caches = torch.full(shape, float("nan")), torch.full(shape, float("nan"))
    position = torch.zeros(2 if ragged else 1, dtype=torch.int64)
    tables = rotary.cosine, rotary.sine
    for t in range(steps):
        q, k, v = (x[:, :, t] for x in (query, key, value))
        found = decode_attention(q, k, v, *caches, position, *front, rotary=tables)
        torch.testing.assert_close(found, expected[:, :, t], atol=2e-6, rtol=2e-6)
        position += 1
    torch.testing.assert_close(caches[0], rotary(key))
    assert torch.equal(caches[1], value)


def test_a_rotation_of_nothing_needs_no_tables() -> None:
    made = case(2, 2, 5, [3], 1) | {"rotary": None}
    ones = torch.ones(5, 2), torch.zeros(5, 2)
    torch.testing.assert_close(
        decode_attention(**copied(made)), decode_attention(**(copied(made) | {"rotary": ones}))
    )


@pytest.mark.parametrize("positions", [[-1], [7], [3, 7], [0, 2**40]])
def test_a_position_outside_is_an_error_on_a_cpu(positions: list[int]) -> None:
    made = case(2, 1, 7, [3], 1)
    made["position"] = torch.tensor(positions)
    before = made["value_cache"].clone()
    with pytest.raises(IndexError, match="outside the 7 steps"):
        decode_attention(**made)
    # Where nobody waits for the position, as on a GPU, the row is NaN and the caches stay.
    out = reference(**flat(made))
    inside = (made["position"].expand(2) >= 0) & (made["position"].expand(2) < 7)
    assert out[~inside].isnan().all()
    assert out[inside].isfinite().all()
    assert torch.equal(made["value_cache"].nan_to_num(7.0), before.nan_to_num(7.0))


def test_an_empty_batch() -> None:
    made = case(0, 2, 4, [1], 1)
    assert decode_attention(**made).shape == (0, 2, 4)


@pytest.mark.parametrize("positions", [[2], [0, 4]])
@pytest.mark.parametrize("prefix", [0, 2])
def test_registration(prefix: int, positions: list[int]) -> None:
    made = flat(case(2, 2, 5, positions, prefix, torch.float32))
    operator = torch.ops.seqvae.decode_attention.default
    mutated = [a.name for a in operator._schema.arguments if a.alias_info and a.alias_info.is_write]
    assert mutated == ["key_cache", "value_cache"]
    for name in ("key_cache", "value_cache"):
        made[name] = made[name].nan_to_num(0.5)
    order = [argument.name for argument in operator._schema.arguments]
    torch.library.opcheck(operator, tuple(made[name] for name in order))


def stepwise(made: Case) -> Callable[..., Tensor]:
    def decode(**parts: Tensor) -> Tensor:
        out = decode_attention(**parts, rotary=made["rotary"])
        parts["position"] += 1
        return out

    return decode


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_loop_of_compiled_steps(dynamic: bool) -> None:
    made = case(2, 2, 6, [2], 2, torch.float32)
    plain, other = ({name: x for name, x in copied(made).items() if name != "rotary"} for _ in "ab")
    decode = stepwise(made)
    compiled = torch.compile(decode, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for _ in range(3):
        torch.testing.assert_close(compiled(**other), decode(**plain))
    for name in ("key_cache", "value_cache", "position"):
        assert torch.equal(other[name].nan_to_num(7), plain[name].nan_to_num(7))
    assert other["position"].tolist() == [5]


def test_export() -> None:
    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("cosine", made["rotary"][0])
            self.register_buffer("sine", made["rotary"][1])

        def forward(self, *parts: Tensor) -> Tensor:
            tables = self.get_buffer("cosine"), self.get_buffer("sine")
            return decode_attention(*parts, rotary=tables)

    made = case(2, 2, 5, [3], 2, torch.float32)
    first, second = copied(made), copied(made)
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = tuple({} if name == "position" else {0: batch} for name in NAMES)
    program = torch.export.export(
        Step(), tuple(made[name] for name in NAMES), dynamic_shapes=(shapes,)
    )
    targets = [node.target for node in program.graph.nodes]
    assert torch.ops.seqvae.decode_attention.default in targets
    found = program.module()(*(first[name] for name in NAMES))
    torch.testing.assert_close(found, decode_attention(**second))
    assert torch.equal(first["value_cache"].nan_to_num(7.0), second["value_cache"].nan_to_num(7.0))


def test_autocast_leaves_it_alone() -> None:
    made = case(2, 2, 5, [3], 2, torch.bfloat16)
    expected = decode_attention(**copied(made))
    with torch.autocast("cpu", torch.bfloat16):
        found = decode_attention(**copied(made))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)


def test_vmap_is_refused() -> None:
    made = flat(case(2, 2, 5, [3], 2, torch.float32))
    caches = {name: torch.stack([made.pop(name)] * 3) for name in ("key_cache", "value_cache")}

    def step(key_cache: Tensor, value_cache: Tensor) -> Tensor:
        parts = made | {"key_cache": key_cache, "value_cache": value_cache}
        out: Tensor = torch.ops.seqvae.decode_attention(**parts)
        return out

    with pytest.raises(RuntimeError, match="not implemented for seqvae::decode_attention"):
        torch.vmap(step)(*caches.values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"query": torch.zeros(2, 4)}, ValueError, r"must be \[B, H, D\]"),
        ({"key": torch.zeros(2, 2, 5)}, ValueError, r"must be \[B, H, D\]"),
        ({"key_cache": torch.zeros(2, 2, 6, 4)}, ValueError, r"value_cache must be"),
        ({"value_cache": torch.zeros(2, 2, 0, 4)}, ValueError, "C >= 1"),
        ({"key_cache": torch.zeros(2, 1, 7, 4)}, ValueError, "does not fit"),
        ({"key_cache": torch.zeros(1, 2, 7, 4).expand(2, 2, 7, 4)}, ValueError, "expanded"),
        ({"position": torch.zeros(1)}, ValueError, r"int64 \[1\] or \[2\]"),
        ({"position": torch.zeros(3, dtype=torch.int64)}, ValueError, r"int64 \[1\] or \[2\]"),
        ({"position": torch.tensor(1)}, ValueError, r"int64 \[1\] or \[2\]"),
        ({"prefix_key": None}, ValueError, "goes with"),
        ({"prefix_key": torch.zeros(2, 2, 3, 4)}, ValueError, "prefixes must be"),
        ({"rotary": (torch.ones(5, 4), torch.ones(5, 4))}, ValueError, "tables must be"),
        ({"rotary": (torch.ones(0, 2), torch.ones(0, 2))}, ValueError, "tables must be"),
        ({"value": torch.zeros(2, 2, 4).half()}, TypeError, "one float dtype"),
        ({"query": torch.zeros(2, 2, 4, device="meta")}, ValueError, "one device"),
        ({"query": torch.zeros(2, 2, 4, requires_grad=True)}, ValueError, "no gradient"),
    ],
)
def test_wrong_inputs_are_refused(change: Case, error: type[Exception], message: str) -> None:
    made = case(2, 2, 7, [3], 2, torch.float32) | change
    with pytest.raises(error, match=message):
        decode_attention(**made)
