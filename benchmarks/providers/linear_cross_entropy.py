"""Vocabulary projection and cross-entropy: chunked, against full logits and liger-kernel's fused loss."""

import importlib.util

import torch
from torch.nn import functional as F

from benchmarks.operation import DTYPES, Case, Inputs, Kind, Mode, Operation, Outputs, Provider, Run
from benchmarks.providers.common import compiled, drawn, needs_cuda


def case(dtype: torch.dtype, tokens: int, width: int, vocabulary: int, rank: int) -> Case:
    """One shape."""
    return Case(
        name=f"{DTYPES[dtype]} {tokens}x{width} vocabulary {vocabulary}",
        dtype=dtype,
        sizes={"M": tokens, "H": width, "V": vocabulary},
        x="M",
        curve=f"{DTYPES[dtype]} H={width} V={vocabulary}",
        rank=rank,
        modes=("forward", "both"),
    )


def cases(kind: Kind) -> tuple[Case, ...]:
    """The text model's step: a few thousand tokens, 32,000 pieces."""
    if kind == "smoke":
        return (case(torch.float32, 7, 8, 33, 0),)
    if kind == "cpu":
        return (case(torch.float32, 512, 128, 4096, 1),)
    bf16 = torch.bfloat16
    return case(bf16, 4096, 512, 32_000, 2), case(bf16, 1024, 512, 32_000, 3)


def inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """Decoder states [M, H], output embedding [V, H], targets [M]."""
    generator = drawn(seed, device)
    tokens, width, vocabulary = (case.sizes[name] for name in "MHV")
    hidden = torch.randn(tokens, width, generator=generator, device=device)
    weight = torch.randn(vocabulary, width, generator=generator, device=device) * width**-0.5
    return {
        "hidden": hidden.to(case.dtype),
        "weight": weight.to(case.dtype),
        "targets": torch.randint(vocabulary, (tokens,), generator=generator, device=device),
    }


def eager(case: Case) -> Run:
    """All logits at once."""
    del case

    def run(inputs: Inputs) -> Outputs:
        logits = (inputs["hidden"] @ inputs["weight"].t()).float()
        return (F.cross_entropy(logits, inputs["targets"], reduction="sum"),)

    return run


def chunked(case: Case) -> Run:
    """Ours."""
    del case
    from seqvae.ops.linear_cross_entropy import linear_cross_entropy

    def run(inputs: Inputs) -> Outputs:
        parts = (inputs[name] for name in ("hidden", "weight", "targets"))
        return (linear_cross_entropy(*parts).sum(),)

    return run


def liger(case: Case) -> Run:
    """liger-kernel's fused linear cross-entropy."""
    del case
    from liger_kernel.transformers.fused_linear_cross_entropy import (
        LigerFusedLinearCrossEntropyLoss,
    )

    loss = LigerFusedLinearCrossEntropyLoss(reduction="sum")

    def run(inputs: Inputs) -> Outputs:
        return (loss(inputs["weight"], inputs["hidden"], inputs["targets"]),)

    return run


def no_liger(case: Case, device: torch.device) -> str | None:
    """Why liger-kernel cannot run here."""
    if importlib.util.find_spec("liger_kernel") is None:
        return "liger-kernel is not installed"
    return needs_cuda(case, device)


def reference(case: Case, inputs: Inputs, outputs: Outputs, ours: bool) -> Outputs:
    """In float64 with all logits."""
    del case, outputs, ours
    logits = inputs["hidden"] @ inputs["weight"].t()
    return (F.cross_entropy(logits, inputs["targets"], reduction="sum"),)


def traffic(case: Case, mode: Mode) -> int:
    """States and embedding read, in backward read again and their gradients written."""
    tokens, width, vocabulary = (case.sizes[name] for name in "MHV")
    once = (tokens + vocabulary) * width * case.element
    return {"forward": 1, "backward": 2, "both": 3}[mode] * once


def flops(case: Case, mode: Mode) -> int:
    """One product forward, two backward; what a method computes again does not count."""
    tokens, width, vocabulary = (case.sizes[name] for name in "MHV")
    return {"forward": 1, "backward": 2, "both": 3}[mode] * 2 * tokens * width * vocabulary


PLAIN = Provider("eager", eager)
OPERATION = Operation(
    name="linear_cross_entropy",
    cases=cases,
    inputs=inputs,
    leaves=("hidden", "weight"),
    providers=(
        PLAIN,
        Provider("seqvae", chunked, ours=True),
        Provider("liger", liger, missing=no_liger),
        *compiled(PLAIN),
    ),
    reference=reference,
    traffic=traffic,
    flops=flops,
)
