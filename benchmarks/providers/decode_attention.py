"""K3: one step of decoding: rotate, append to the cache, attend over prefix and cache.

The rivals keep the prefix in front of their caches, so that they need no `cat` at any step: the best that torch's
attention offers. "fixed length" reads the position on the host and slices the cache, which lets the flash kernel run
but cannot be replayed from a CUDA graph at the next position; it is timed as if it could.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.operation import DTYPES, Case, Inputs, Kind, Mode, Operation, Outputs, Provider, Run
from benchmarks.providers.common import compiled, compiling, drawn, needs_cuda, needs_half, ours

NEW = ("query", "key", "value")


def case(
    dtype: torch.dtype,
    batch: int,
    capacity: int,
    rank: int,
    *,
    heads: int = 8,
    width: int = 64,
    prefix: int = 8,
) -> Case:
    """One shape; the cache is full but for this step."""
    return Case(
        name=f"{DTYPES[dtype]} {batch}x{heads}x{capacity}x{width} prefix {prefix}",
        dtype=dtype,
        sizes={"B": batch, "H": heads, "C": capacity, "D": width, "P": prefix},
        x="B",
        curve=f"{DTYPES[dtype]} cache {capacity}",
        rank=rank,
        modes=("forward",),
    )


def cases(kind: Kind) -> tuple[Case, ...]:
    """Batches of an interactive user, of beams, and of a busy server."""
    fp32, bf16 = torch.float32, torch.bfloat16
    if kind == "smoke":
        return (case(fp32, 2, 6, 0, heads=2, width=32, prefix=3),)
    if kind == "cpu":
        return case(fp32, 1, 128, 1, heads=4, width=32), case(fp32, 16, 128, 2, heads=4, width=32)
    return (
        case(bf16, 1, 1024, 0),
        case(bf16, 8, 1024, 0),
        case(bf16, 64, 1024, 0),
        case(bf16, 256, 1024, 1),
        case(bf16, 8, 128, 2),
        case(bf16, 64, 128, 3),
    )


def inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """The step's query, key, value [B, H, D], caches [B, H, C, D], prefixes, position and rotary tables."""
    generator = drawn(seed, device)
    batch, heads, capacity, width, prefix = (case.sizes[name] for name in "BHCDP")

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(case.dtype)

    frequency = 10_000.0 ** (-torch.arange(width // 2, device=device) * 2.0 / width)
    angle = torch.arange(capacity, device=device)[:, None] * frequency
    return {
        **{name: normal(batch, heads, width) for name in ("query", "key", "value")},
        **{f"{name}_cache": normal(batch, heads, capacity, width) for name in ("key", "value")},
        **{f"prefix_{name}": normal(batch, heads, prefix, width) for name in ("key", "value")},
        "position": torch.tensor([capacity - 1], device=device),
        "cosine": angle.cos(),
        "sine": angle.sin(),
    }


def prefix_in_front(case: Case, inputs: Inputs) -> Inputs:
    """Caches whose first P places hold the prefix."""
    del case
    whole = {
        name: torch.cat([inputs[f"prefix_{name}"], inputs[f"{name}_cache"]], 2)
        for name in ("key", "value")
    }
    kept = ("query", "key", "value", "position", "cosine", "sine")
    return {
        **{name: inputs[name] for name in kept},
        "key_cache": whole["key"],
        "value_cache": whole["value"],
        "column": torch.arange(whole["key"].shape[2], device=inputs["query"].device),
    }


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x [..., D] at the position of one row of the tables, [1, D / 2]."""
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def step(case: Case, backend: SDPBackend | None, *, sliced: bool = False) -> Run:
    """Rotate, append, attend with torch's attention; `sliced` knows the position on the host."""
    prefix, length = case.sizes["P"], case.sizes["P"] + case.sizes["C"]

    def run(inputs: Inputs) -> Outputs:
        position = inputs["position"]
        cosine, sine = (inputs[name].index_select(0, position) for name in ("cosine", "sine"))
        query, new_key, new_value = (inputs[name][:, :, None] for name in NEW)
        query, new_key = rotated(query, cosine, sine), rotated(new_key, cosine, sine)
        key, value = inputs["key_cache"], inputs["value_cache"]
        key.index_copy_(2, position + prefix, new_key)
        value.index_copy_(2, position + prefix, new_value)
        mask: Tensor | None = None
        if sliced:
            key, value = key[:, :, :length], value[:, :, :length]
        else:
            mask = (inputs["column"] <= position + prefix)[None, None, None, :]
        if backend is None:
            return (F.scaled_dot_product_attention(query, key, value, attn_mask=mask)[:, :, 0],)
        with sdpa_kernel(backend):
            return (F.scaled_dot_product_attention(query, key, value, attn_mask=mask)[:, :, 0],)

    return run


def with_backend(backend: SDPBackend | None, *, sliced: bool = False) -> Callable[[Case], Run]:
    """The step with one of torch's kernels; None leaves the choice to torch."""

    def make(case: Case) -> Run:
        return step(case, backend, sliced=sliced)

    return make


@lru_cache(maxsize=1)
def block_mask(last: int, length: int, device: torch.device) -> Any:  # noqa: ANN401
    """FlexAttention's description of a cache filled up to `last`; one for all sets of inputs of a case."""
    from torch.nn.attention.flex_attention import create_block_mask

    # A tensor, as a loop that decodes has it: a number would be compiled in.
    position = torch.tensor([last], device=device)

    def seen(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        return kv <= position[0]

    return create_block_mask(seen, None, None, 1, length, device=device)


def with_block_mask(case: Case, inputs: Inputs) -> Inputs:
    """The rivals' inputs and what FlexAttention needs to know."""
    found = prefix_in_front(case, inputs)
    length = case.sizes["P"] + case.sizes["C"]
    return {**found, "block_mask": block_mask(length - 1, length, inputs["query"].device)}


def flex(case: Case) -> Run:
    """The step with FlexAttention; it must be compiled to be fast."""
    from torch.nn.attention.flex_attention import flex_attention

    prefix = case.sizes["P"]

    def run(inputs: Inputs) -> Outputs:
        position = inputs["position"]
        cosine, sine = (inputs[name].index_select(0, position) for name in ("cosine", "sine"))
        query, new_key, new_value = (inputs[name][:, :, None] for name in NEW)
        query, new_key = rotated(query, cosine, sine), rotated(new_key, cosine, sine)
        key, value = inputs["key_cache"], inputs["value_cache"]
        key.index_copy_(2, position + prefix, new_key)
        value.index_copy_(2, position + prefix, new_value)
        out: Any = flex_attention(query, key, value, block_mask=inputs["block_mask"])
        return (out[:, :, 0],)

    return run


def fused(case: Case) -> Run:
    """Ours."""
    del case
    from seqvae.ops.decode_attention import decode_attention

    names = ("query", "key", "value", "key_cache", "value_cache", "position")

    def run(inputs: Inputs) -> Outputs:
        prefix = inputs["prefix_key"], inputs["prefix_value"]
        tables = inputs["cosine"], inputs["sine"]
        return (decode_attention(*(inputs[name] for name in names), *prefix, rotary=tables),)

    return run


def reference(case: Case, inputs: Inputs, outputs: Outputs, ours: bool) -> Outputs:
    """In float64; leaves the caches as they are."""
    del case, outputs, ours
    at = inputs["position"]
    cosine, sine = inputs["cosine"][at], inputs["sine"][at]
    query = rotated(inputs["query"], cosine, sine)[:, :, None]
    new = {"key": rotated(inputs["key"], cosine, sine), "value": inputs["value"]}
    whole = {}
    for name, row in new.items():
        cache = inputs[f"{name}_cache"].index_copy(2, at, row[:, :, None])
        whole[name] = torch.cat([inputs[f"prefix_{name}"], cache[:, :, : int(at) + 1]], 2)
    score = query @ whole["key"].transpose(-1, -2) * query.shape[-1] ** -0.5
    return ((score.softmax(-1) @ whole["value"])[:, :, 0],)


def traffic(case: Case, mode: Mode) -> int:
    """Prefix and cache read once, the step's query, key and value read, key, value and output written."""
    del mode
    row = case.sizes["B"] * case.sizes["H"] * case.sizes["D"] * case.element
    earlier = case.sizes["C"] - 1
    return (2 * (case.sizes["P"] + earlier) + 6) * row


def flops(case: Case, mode: Mode) -> int:
    """Two products of one query with everything it sees."""
    del mode
    pairs = case.sizes["B"] * case.sizes["H"] * (case.sizes["P"] + case.sizes["C"])
    return 4 * pairs * case.sizes["D"]


PLAIN = Provider("eager", with_backend(None), prepare=prefix_in_front)
OPERATION = Operation(
    name="decode_attention",
    cases=cases,
    inputs=inputs,
    leaves=(),
    providers=(
        PLAIN,
        *ours(fused),
        Provider(
            "sdpa-flash, fixed length",
            with_backend(SDPBackend.FLASH_ATTENTION, sliced=True),
            prepare=prefix_in_front,
            missing=needs_half,
            compared=False,
        ),
        Provider(
            "sdpa-efficient",
            with_backend(SDPBackend.EFFICIENT_ATTENTION),
            prepare=prefix_in_front,
            missing=needs_cuda,
        ),
        Provider(
            "sdpa-cudnn",
            with_backend(SDPBackend.CUDNN_ATTENTION),
            prepare=prefix_in_front,
            missing=needs_half,
        ),
        Provider("sdpa-math", with_backend(SDPBackend.MATH), prepare=prefix_in_front, rank=2),
        *(replace(provider, rank=provider.rank + 1) for provider in compiled(PLAIN)),
        Provider(
            "flex",
            compiling(flex, "default"),
            prepare=with_block_mask,
            missing=needs_cuda,
            rank=1,
            compiled=True,
        ),
    ),
    reference=reference,
    traffic=traffic,
    flops=flops,
)
