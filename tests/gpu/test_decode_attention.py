"""`decode_attention` on a GPU: accuracy, poison, races, captured graphs. Needs torch, Triton and pytest alone."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.nn.attention import SelfAttention
from seqvae.nn.rotary import Rotary
from seqvae.ops.decode_attention import decode_attention, reference
from seqvae.ops.dispatch import Path, explain, use

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# Arguments by name: tensors, or None.
Case = dict[str, Any]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def case(
    batch: int,
    heads: int,
    capacity: int,
    positions: list[int],
    prefix: int,
    dtype: torch.dtype,
    width: int,
) -> Case:
    """Inputs whose caches hold NaN at the position and behind it."""
    made: Case = {
        name: drawn(i, batch, heads, width) for i, name in enumerate(("query", "key", "value"))
    }
    unwritten = torch.arange(capacity) >= torch.tensor(positions).expand(batch)[:, None]
    for i, name in enumerate(("key_cache", "value_cache"), 3):
        cache = drawn(i, batch, heads, capacity, width)
        made[name] = cache.masked_fill(unwritten[:, None, :, None], float("nan"))
    for i, name in enumerate(("prefix_key", "prefix_value"), 5):
        made[name] = drawn(i, batch, heads, prefix, width) if prefix else None
    moved = {name: None if x is None else x.to(DEVICE, dtype) for name, x in made.items()}
    tables = Rotary(width, capacity).to(DEVICE)
    position = torch.tensor(positions, device=DEVICE)
    return moved | {"position": position, "rotary": (tables.cosine, tables.sine)}


def twin(x: Tensor) -> Tensor:
    """A copy with the strides and the alignment of the original."""
    whole = x.as_strided((x.untyped_storage().nbytes() // x.itemsize,), (1,), 0)
    return whole.clone().as_strided(x.shape, x.stride(), x.storage_offset())


def copied(made: Case) -> Case:
    return {name: twin(x) if isinstance(x, Tensor) else x for name, x in made.items()}


def flat(made: Case, dtype: torch.dtype) -> Case:
    """The arguments of `reference`, with every row in `dtype`."""
    found = {
        name: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
        for name, x in copied(made).items()
        if name != "rotary"
    }
    return {**found, "cosine": made["rotary"][0], "sine": made["rotary"][1]}


def eager(made: Case) -> Tensor:
    """The step as plain torch takes it, all in the dtype of the query."""
    query, dtype = made["query"], made["query"].dtype
    position = made["position"].expand(len(query))
    tables = [table[position].to(dtype)[:, None] for table in made["rotary"]]

    def turn(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        cosine, sine = tables
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)

    rows = torch.arange(len(query), device=query.device)
    keys, values = made["key_cache"].clone(), made["value_cache"].clone()
    keys[rows, :, position], values[rows, :, position] = turn(made["key"]), made["value"]
    seen = torch.arange(keys.shape[2], device=query.device) <= position[:, None]
    keys = keys.masked_fill(~seen[:, None, :, None], 0)
    values = values.masked_fill(~seen[:, None, :, None], 0)
    if made["prefix_key"] is not None:
        seen = F.pad(seen, (made["prefix_key"].shape[2], 0), value=True)
        keys = torch.cat([made["prefix_key"], keys], 2)
        values = torch.cat([made["prefix_value"], values], 2)
    out = F.scaled_dot_product_attention(
        turn(query)[:, :, None], keys, values, attn_mask=seen[:, None, None]
    )
    return out[:, :, 0]


def check(made: Case, path: Path = "triton") -> None:
    """Error at most twice that of eager torch and 2 ulp; only the slot at the position is written."""
    exact_in = flat(made, torch.float64)
    exact, rough = reference(**exact_in), eager(made)
    found_in = copied(made)
    with use(path):
        found = decode_attention(**found_in)
    ulp = torch.finfo(found.dtype).eps * float(exact.abs().max())
    allowed = 2 * float((rough.double() - exact).abs().max()) + 2 * ulp
    assert float((found.double() - exact).abs().max()) <= allowed
    for name in ("key_cache", "value_cache"):
        cache, old = found_in[name], made[name]
        positions = made["position"].expand(len(cache))
        slot = torch.arange(cache.shape[2], device=cache.device) == positions[:, None]
        slot = slot[:, None, :, None].expand_as(cache)
        assert torch.equal(cache[~slot].nan_to_num(7.0), old[~slot].nan_to_num(7.0))
        written = exact_in[name][slot]
        close = torch.finfo(cache.dtype).eps * float(written.abs().max())
        assert float((cache[slot].double() - written).abs().max()) <= close
    for name in ("query", "key", "value", "position", "prefix_key", "prefix_value"):
        if made[name] is not None:
            assert torch.equal(found_in[name], made[name])
    (choice,) = (choice for choice in explain() if choice.op == "decode_attention")
    assert choice.path == path, choice


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize(
    ("batch", "heads", "capacity", "positions", "prefix"),
    [
        (1, 1, 1, [0], 0),
        (3, 5, 7, [0, 1, 6], 1),
        (1, 5, 63, [62], 5),
        (3, 1, 257, [256], 0),
        (3, 5, 1271, [1270, 0, 401], 32),
        (1, 1, 4096, [4095], 5),
    ],
)
def test_accuracy(
    batch: int,
    heads: int,
    capacity: int,
    positions: list[int],
    prefix: int,
    width: int,
    dtype: torch.dtype,
) -> None:
    check(case(batch, heads, capacity, positions, prefix, dtype, width))


@pytest.mark.parametrize("capacity", [63, 1271])
def test_any_strides(capacity: int) -> None:
    made = case(3, 5, capacity, [capacity - 1], 5, torch.bfloat16, 64)
    for name in ("key_cache", "value_cache", "prefix_key", "prefix_value"):
        order = (2, 0, 1, 3) if "value" in name else (1, 2, 0, 3)
        back = sorted(range(4), key=order.__getitem__)
        made[name] = made[name].permute(order).contiguous().permute(back)
    packed = torch.stack([made["query"], made["key"], made["value"]], 1)
    made["query"], made["key"], made["value"] = packed.unbind(1)
    check(made)
    # Rows that do not start on 16 bytes.
    wide = torch.full((3, 5, capacity, 65), float("nan"), dtype=torch.bfloat16, device=DEVICE)
    for name in ("key_cache", "value_cache"):
        odd = wide.clone()[..., 1:]
        odd.copy_(made[name])
        made[name] = odd
    check(made)


def test_the_ahead_of_time_build_computes_the_same() -> None:
    made = case(3, 5, 1271, [1270, 0, 401], 5, torch.bfloat16, 64)
    with use("aot"):
        found = decode_attention(**copied(made))
    (choice,) = (choice for choice in explain() if choice.op == "decode_attention")
    if choice.path != "aot":
        pytest.skip(str(choice))
    with use("triton"):
        expected = decode_attention(**copied(made))
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=2e-2)
    check(made, "aot")


@pytest.mark.parametrize("capacity", [257, 4096])
def test_eight_runs_are_equal_bit_for_bit(capacity: int) -> None:
    made = case(2, 2, capacity, [capacity - 1, 7], 5, torch.bfloat16, 64)
    runs = []
    for _ in range(8):
        again = copied(made)
        out = decode_attention(**again)
        runs.append((out, again["key_cache"].nan_to_num(7.0)))
    for out, cache in runs[1:]:
        assert torch.equal(out, runs[0][0])
        assert torch.equal(cache, runs[0][1])


def test_a_position_outside_gives_nan_and_writes_nothing() -> None:
    for capacity in (70, 700):
        made = case(4, 2, capacity, [5], 3, torch.float32, 32)
        made["position"] = torch.tensor([-1, capacity, 5, 2**40], device=DEVICE)
        again = copied(made)
        out = decode_attention(**again)
        assert out[[0, 1, 3]].isnan().all()
        assert out[2].isfinite().all()
        for name in ("key_cache", "value_cache"):
            new, old = (x[name][[0, 1, 3]].nan_to_num(7.0) for x in (again, made))
            assert torch.equal(new, old)


def test_more_than_two_to_the_31_cached_numbers() -> None:
    batch, heads, capacity, width = 513, 8, 4096, 128
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("needs 12 GB")
    made = case(1, heads, capacity, [capacity - 1], 3, torch.bfloat16, width)
    exact = reference(**flat(made, torch.float64))
    for name in ("query", "key", "value", "key_cache", "value_cache", "prefix_key", "prefix_value"):
        small = made[name]
        made[name] = torch.zeros(batch, *small.shape[1:], dtype=small.dtype, device=DEVICE)
        made[name][-1] = small[0]
    found = decode_attention(**made)
    torch.testing.assert_close(found[-1:].double(), exact, atol=1e-2, rtol=2e-2)
    assert torch.equal(found[:-1], torch.zeros_like(found[:-1]))


@torch.no_grad()
@pytest.mark.parametrize("capacity", [16, 600])
def test_one_captured_graph_decodes_every_step(capacity: int) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(64, 2, Rotary(32, capacity), True).to(DEVICE)
    x = torch.randn(3, 16, 64, device=DEVICE)
    prefix = torch.randn(3, 2, 4, 32, device=DEVICE), torch.randn(3, 2, 4, 32, device=DEVICE)
    expected = layer.double()(x.double(), tuple(part.double() for part in prefix))
    layer.float()
    cache = layer.empty_cache(3, capacity, x)
    piece = x[:, :1].clone()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        layer(piece, prefix, cache=cache)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = layer(piece, prefix, cache=cache)
    assert cache.position is not None
    cache.position.zero_()
    cache.key.fill_(float("nan"))
    cache.value.fill_(float("nan"))
    for step in range(16):
        piece.copy_(x[:, step : step + 1])
        graph.replay()
        torch.testing.assert_close(out.double(), expected[:, step : step + 1], atol=2e-5, rtol=1e-4)
    assert cache.position.item() == 16


@torch.no_grad()
def test_a_prompt_at_once_then_single_steps() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(64, 2, Rotary(32, 12), True).to(DEVICE)
    x = torch.randn(2, 9, 64, device=DEVICE)
    cache = layer.empty_cache(2, 12, x)
    pieces = [x[:, :4], *(x[:, i : i + 1] for i in range(4, 9))]
    found = torch.cat([layer(piece, cache=cache) for piece in pieces], 1)
    torch.testing.assert_close(found, layer(x), atol=2e-5, rtol=1e-4)
    assert cache.position is not None
    assert cache.length == cache.position.item() == 9


@torch.no_grad()
def test_a_compiled_step() -> None:
    made = case(2, 2, 600, [300], 2, torch.bfloat16, 64)
    expected_in, found_in = copied(made), copied(made)

    def step(**parts: Any) -> Tensor:  # noqa: ANN401
        out = decode_attention(**parts, rotary=made["rotary"])
        parts["position"] += 1
        return out

    plain, other = (
        {name: x for name, x in parts.items() if name != "rotary"}
        for parts in (expected_in, found_in)
    )
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(3):
        torch.testing.assert_close(compiled(**other), step(**plain))
    assert other["position"].tolist() == [303]
