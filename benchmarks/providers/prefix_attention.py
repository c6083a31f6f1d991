"""K2: attention of a sequence over itself behind a latent prefix.

torch's attention knows no prefix, so its users join prefix and sequence (`cat`, in every layer) and say what may be
seen: `causal_lower_right`, which keeps the flash and the efficient kernels, or a mask. Masks are made once, outside
of any timing. The rivals named "no prefix" leave the prefix out: an easier problem, shown for scale only.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right

from benchmarks.operation import DTYPES, Case, Inputs, Kind, Mode, Operation, Outputs, Provider, Run
from benchmarks.providers.common import compiled, compiling, drawn, needs_cuda, needs_half, ours

LEAVES = ("query", "key", "value", "prefix_key", "prefix_value")


def case(
    dtype: torch.dtype,
    batch: int,
    steps: int,
    rank: int,
    *,
    view: str = "causal",
    heads: int = 8,
    width: int = 64,
    prefix: int = 8,
) -> Case:
    """One shape. `view`: causal (text), full (frames), or lengths (full, sequences of unequal lengths)."""
    return Case(
        name=f"{view} {DTYPES[dtype]} {batch}x{heads}x{steps}x{width} prefix {prefix}",
        dtype=dtype,
        sizes={"B": batch, "H": heads, "S": steps, "D": width, "P": prefix},
        x="S",
        curve=f"{view} {DTYPES[dtype]} D={width}",
        rank=rank,
        switches={"view": view},
    )


def cases(kind: Kind) -> tuple[Case, ...]:
    """Sentences are short: 32 to 128 steps; 256 and more for frames and long texts."""
    fp32, bf16 = torch.float32, torch.bfloat16
    if kind == "smoke":
        return (
            case(fp32, 2, 5, 0, heads=2, width=32, prefix=3),
            case(fp32, 2, 6, 1, heads=1, width=32, prefix=2, view="lengths"),
        )
    if kind == "cpu":
        return case(fp32, 16, 32, 1, width=32), case(fp32, 16, 64, 2, width=32)
    return (
        case(bf16, 1024, 32, 0),
        case(bf16, 1024, 64, 0),
        case(bf16, 1024, 128, 0),
        case(bf16, 256, 256, 1),
        case(bf16, 64, 1024, 1),
        case(bf16, 1024, 64, 1, view="full"),
        case(bf16, 128, 512, 2),
        case(bf16, 1024, 128, 2, view="lengths"),
        case(bf16, 512, 128, 3, heads=4, width=128),
    )


def lengths_of(case: Case) -> list[int] | None:
    """Half to all of the steps, evenly spread over the batch; None where all are valid."""
    if case.switches["view"] != "lengths":
        return None
    batch, steps = case.sizes["B"], case.sizes["S"]
    shortest = (steps + 1) // 2
    return [shortest + (steps - shortest) * (row + 1) // batch for row in range(batch)]


def inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """Query, key, value [B, H, S, D], prefixes [B, H, P, D] and lengths [B]."""
    generator = drawn(seed, device)
    batch, heads, steps, width, prefix = (case.sizes[name] for name in "BHSDP")

    def normal(length: int) -> Tensor:
        shape = (batch, heads, length, width)
        return torch.randn(shape, generator=generator, device=device).to(case.dtype)

    found: Inputs = {name: normal(steps if name in LEAVES[:3] else prefix) for name in LEAVES}
    lengths = lengths_of(case)
    if lengths is not None:
        found["lengths"] = torch.tensor(lengths, device=device)
    return found


def visible(case: Case, inputs: Inputs) -> Tensor | None:
    """What each step sees of prefix and sequence: [S, P + S] or [B, 1, 1, P + S]; None for everything."""
    steps, device = case.sizes["S"], inputs["query"].device
    prefix = inputs["prefix_key"].shape[2] if "prefix_key" in inputs else 0
    column = torch.arange(-prefix, steps, device=device)
    if case.switches["view"] == "causal":
        return column[None, :] <= torch.arange(steps, device=device)[:, None]
    if case.switches["view"] == "lengths":
        return (column[None, :] < inputs["lengths"][:, None])[:, None, None, :]
    return None


def with_mask(case: Case, inputs: Inputs) -> Inputs:
    """The inputs and their mask."""
    return {**inputs, "mask": visible(case, inputs)}


def without_prefix(case: Case, inputs: Inputs) -> Inputs:
    """The inputs less their prefix."""
    del case
    return {name: value for name, value in inputs.items() if not name.startswith("prefix")}


def joined(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Keys and values of prefix and sequence, one behind the other."""
    key = torch.cat([inputs["prefix_key"], inputs["key"]], 2)
    return key, torch.cat([inputs["prefix_value"], inputs["value"]], 2)


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The textbook's three lines."""
    score = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if mask is not None:
        score = score.masked_fill(~mask, float("-inf"))
    return score.softmax(-1) @ value


def eager(case: Case) -> Run:
    """Join, multiply, mask, softmax, multiply."""
    del case

    def run(inputs: Inputs) -> Outputs:
        return (softmax_attention(inputs["query"], *joined(inputs), inputs["mask"]),)

    return run


def sdpa(backend: SDPBackend | None) -> Callable[[Case], Run]:
    """torch's attention with a mask; `backend` None leaves the choice to torch."""

    def make(case: Case) -> Run:
        del case

        def run(inputs: Inputs) -> Outputs:
            key, value = joined(inputs)
            mask = inputs["mask"]
            if backend is None:
                return (
                    F.scaled_dot_product_attention(inputs["query"], key, value, attn_mask=mask),
                )
            with sdpa_kernel(backend):
                return (
                    F.scaled_dot_product_attention(inputs["query"], key, value, attn_mask=mask),
                )

        return run

    return make


def sdpa_aligned(backend: SDPBackend) -> Callable[[Case], Run]:
    """torch's attention without a stored mask: causal, aligned so that the last step sees everything."""

    def make(case: Case) -> Run:
        steps = case.sizes["S"]
        causal = case.switches["view"] == "causal"

        def run(inputs: Inputs) -> Outputs:
            key, value = joined(inputs)
            bias: Any = causal_lower_right(steps, key.shape[2]) if causal else inputs["mask"]
            with sdpa_kernel(backend):
                return (
                    F.scaled_dot_product_attention(inputs["query"], key, value, attn_mask=bias),
                )

        return run

    return make


def sdpa_alone(backend: SDPBackend) -> Callable[[Case], Run]:
    """torch's attention over the sequence alone."""

    def make(case: Case) -> Run:
        causal = case.switches["view"] == "causal"

        def run(inputs: Inputs) -> Outputs:
            query, key, value = (inputs[name] for name in LEAVES[:3])
            with sdpa_kernel(backend):
                return (F.scaled_dot_product_attention(query, key, value, is_causal=causal),)

        return run

    return make


@lru_cache(maxsize=1)
def block_mask(
    prefix: int, steps: int, lengths: tuple[int, ...] | None, device: torch.device
) -> Any:  # noqa: ANN401
    """FlexAttention's description of what is seen: causal, or `lengths` of the sequences.

    One for all sets of inputs of a case: each has functions of its own, for which the caller would be compiled again.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    valid = None if lengths is None else torch.tensor(lengths, device=device)

    def seen(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        last = q if valid is None else valid[b] - 1
        return kv - prefix <= last

    rows = None if lengths is None else len(lengths)
    return create_block_mask(seen, rows, None, steps, prefix + steps, device=device)


def with_block_mask(case: Case, inputs: Inputs) -> Inputs:
    """The inputs and what FlexAttention needs to know; None where everything is seen."""
    if case.switches["view"] == "full":
        return {**inputs, "block_mask": None}
    lengths = lengths_of(case)
    seen = None if lengths is None else tuple(lengths)
    device = inputs["query"].device
    return {**inputs, "block_mask": block_mask(case.sizes["P"], case.sizes["S"], seen, device)}


def flex(case: Case) -> Run:
    """FlexAttention; it must be compiled to be fast."""
    del case
    from torch.nn.attention.flex_attention import flex_attention

    def run(inputs: Inputs) -> Outputs:
        key, value = joined(inputs)
        out: Any = flex_attention(inputs["query"], key, value, block_mask=inputs["block_mask"])
        return (out,)

    return run


def fused(case: Case) -> Run:
    """Ours."""
    from seqvae.ops.prefix_attention import prefix_attention

    causal = case.switches["view"] == "causal"

    def run(inputs: Inputs) -> Outputs:
        parts = (inputs[name] for name in LEAVES)
        return (prefix_attention(*parts, causal=causal, lengths=inputs.get("lengths")),)

    return run


def reference(case: Case, inputs: Inputs, outputs: Outputs, ours: bool) -> Outputs:
    """In float64; over the sequence alone where the inputs hold no prefix."""
    del outputs, ours
    key, value = joined(inputs) if "prefix_key" in inputs else (inputs["key"], inputs["value"])
    return (softmax_attention(inputs["query"], key, value, visible(case, inputs)),)


def _rows(case: Case) -> tuple[int, int]:
    """Rows of queries, and rows of keys that anybody sees, per head."""
    batch, steps = case.sizes["B"], case.sizes["S"]
    return batch * steps, sum(lengths_of(case) or [batch * steps])


def traffic(case: Case, mode: Mode) -> int:
    """Forward: query and output, keys and values; backward: those, the output's gradient, theirs."""
    queries, keys = _rows(case)
    prefix = case.sizes["B"] * case.sizes["P"]
    row = case.sizes["H"] * case.sizes["D"] * case.element
    forward = (2 * queries + 2 * keys + 2 * prefix) * row
    backward = (3 * queries + 4 * keys + 4 * prefix) * row
    return {"forward": forward, "backward": backward, "both": forward + backward}[mode]


def flops(case: Case, mode: Mode) -> int:
    """Two products forward, five backward, over the pairs of a step and what it sees."""
    steps, prefix = case.sizes["S"], case.sizes["P"]
    _, keys = _rows(case)
    if case.switches["view"] == "causal":
        pairs = case.sizes["B"] * (steps * prefix + steps * (steps + 1) // 2)
    else:
        pairs = steps * (keys + case.sizes["B"] * prefix)
    product = 2 * pairs * case.sizes["H"] * case.sizes["D"]
    return {"forward": 2, "backward": 5, "both": 7}[mode] * product


def _takes_no_mask(case: Case, device: torch.device) -> str | None:
    if case.switches["view"] == "lengths":
        return "takes no mask, so no lengths"
    return needs_half(case, device)


def _alone(case: Case, device: torch.device) -> str | None:
    if case.switches["view"] == "lengths":
        return "would need a mask all the same"
    return needs_half(case, device)


PLAIN = Provider("eager", eager, prepare=with_mask)
FLEX = Provider(
    "flex",
    compiling(flex, "default"),
    prepare=with_block_mask,
    missing=needs_cuda,
    rank=1,
    compiled=True,
)
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
OPERATION = Operation(
    name="prefix_attention",
    cases=cases,
    inputs=inputs,
    leaves=LEAVES,
    providers=(
        PLAIN,
        *ours(fused),
        # Whether the table that chooses it for long sequences chooses well.
        Provider("seqvae-sdpa", fused, ours=True, path="sdpa", rank=1),
        Provider("sdpa", sdpa(None), prepare=with_mask),
        Provider(
            "sdpa-flash",
            sdpa_aligned(BACKENDS["flash"]),
            prepare=with_mask,
            missing=_takes_no_mask,
        ),
        Provider(
            "sdpa-efficient",
            sdpa_aligned(BACKENDS["efficient"]),
            prepare=with_mask,
            missing=needs_cuda,
        ),
        Provider("sdpa-cudnn", sdpa(BACKENDS["cudnn"]), prepare=with_mask, missing=needs_half),
        Provider("sdpa-math", sdpa(SDPBackend.MATH), prepare=with_mask, rank=2),
        *(replace(provider, rank=provider.rank + 1) for provider in compiled(PLAIN)),
        FLEX,
        *(
            Provider(
                f"sdpa-{name}, no prefix",
                sdpa_alone(backend),
                same=False,
                compared=False,
                prepare=without_prefix,
                missing=_alone,
                rank=1,
            )
            for name, backend in BACKENDS.items()
        ),
    ),
    reference=reference,
    traffic=traffic,
    flops=flops,
)
