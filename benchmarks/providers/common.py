"""Contenders that several operations share: torch.compile, and our own paths."""

from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.operation import Case, Missing, Provider, Run

# "max-autotune" would record CUDA graphs of its own, which cannot be captured into ours.
AUTOTUNE = "max-autotune-no-cudagraphs"


def needs_cuda(case: Case, device: torch.device) -> str | None:
    """Why a provider cannot run on this device: it is for NVIDIA GPUs only."""
    del case
    return None if device.type == "cuda" else "needs a CUDA device"


def needs_half(case: Case, device: torch.device) -> str | None:
    """Why a provider cannot run: it takes bf16 and fp16 on a GPU only."""
    if case.dtype == torch.float32:
        return "takes bf16 and fp16 only"
    return needs_cuda(case, device)


def needs_cpu(case: Case, device: torch.device) -> str | None:
    """Why a provider cannot run on this device: it is for CPUs only."""
    del case
    return None if device.type == "cpu" else "runs on the CPU only"


def compiling(make: Callable[[Case], Run], mode: str) -> Callable[[Case], Run]:
    """`make` with its function compiled for one shape, as a training loop with fixed shapes would."""

    def compiled(case: Case) -> Run:
        # Cases share code objects: without this the eighth shape would silently run eagerly.
        torch._dynamo.reset()
        return torch.compile(make(case), fullgraph=True, dynamic=False, mode=mode)

    return compiled


def compiled(eager: Provider) -> tuple[Provider, Provider]:
    """`torch.compile` of a provider, with the default settings and with max-autotune."""
    plain = replace(
        eager, name="compile", make=compiling(eager.make, "default"), compiled=True, rank=0
    )
    tuned = replace(
        eager,
        name="compile-max-autotune",
        make=compiling(eager.make, AUTOTUNE),
        compiled=True,
        rank=2,
        # On a CPU it tunes matrix products only, for minutes.
        missing=_both(eager.missing, needs_cuda),
    )
    return plain, tuned


def _both(first: Missing, second: Missing) -> Missing:
    def missing(case: Case, device: torch.device) -> str | None:
        return first(case, device) or second(case, device)

    return missing


def ours(make: Callable[[Case], Run]) -> tuple[Provider, ...]:
    """Our operation by its own choice of path, and by each path that it might choose."""
    auto = Provider("seqvae", make, ours=True)
    return (
        auto,
        replace(auto, name="seqvae-triton", path="triton", missing=needs_cuda),
        replace(auto, name="seqvae-aot", path="aot", missing=needs_cuda),
        replace(auto, name="seqvae-native", path="native", missing=needs_cpu),
        replace(auto, name="seqvae-reference", path="reference", rank=2),
    )


def drawn(seed: int, device: torch.device) -> torch.Generator:
    """A generator on the device."""
    return torch.Generator(device).manual_seed(seed)
