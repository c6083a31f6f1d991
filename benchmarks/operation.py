"""What the kernel benchmarks know of an operation: its cases, inputs, providers, truth, bytes and flops."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Mode = Literal["forward", "backward", "both"]
Kind = Literal["cuda", "cpu", "smoke"]
# Tensors, and what a provider prepares once: a mask, a block mask.
Inputs = dict[str, Any]
Outputs = tuple[Tensor, ...]
Run = Callable[[Inputs], Outputs]

DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
# Root mean square error over root mean square of the truth. bf16 rounds outputs to 2**-9 = 0.2 %; the rest is
# room for sums of rounded products. The strict rule, twice the error of eager, is that of tests/gpu.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@dataclass(frozen=True)
class Case:
    """One shape and setting of an operation.

    Attributes:
        name: unique in the operation.
        dtype: of the inputs.
        sizes: lengths of the axes by name.
        x: name in `sizes` of what the curve runs over, or a name of its own with `x_value`.
        curve: cases with the same curve are points of one curve.
        rank: 0 where a bar needs it; cases of a higher rank are the first to be left out.
        switches: the operation's settings.
        modes: what is timed.
    """

    name: str
    dtype: torch.dtype
    sizes: Mapping[str, int]
    x: str
    curve: str
    rank: int = 1
    switches: Mapping[str, Any] = field(default_factory=dict)
    modes: tuple[Mode, ...] = ("forward", "backward", "both")

    @property
    def x_value(self) -> int:
        """Where the case stands on its curve: a size, or the product of sizes joined by "*"."""
        return math.prod(self.sizes[name] for name in self.x.split("*"))

    @property
    def element(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize


Missing = Callable[[Case, torch.device], str | None]


def never_missing(case: Case, device: torch.device) -> str | None:
    """Runs everywhere."""
    del case, device
    return None


@dataclass(frozen=True)
class Provider:
    """One way to compute an operation.

    Attributes:
        name: e.g. "eager", "sdpa-flash", "seqvae-triton".
        make: the function for a case; called once, so that a compiler compiles once.
        ours: whether it is this project's.
        path: which of our implementations, see `seqvae.ops.dispatch`; None for the dispatch's own choice.
        same: False for one that computes something easier, by its own prepared inputs.
        compared: False for one that is shown but no measure of speed: easier, or of no use in practice.
        prepare: turns the operation's inputs into this provider's, outside of any timing.
        missing: why it cannot run a case on a device, or None.
        rank: added to the case's when time is short.
        compiled: whether it costs seconds of compilation per case.
    """

    name: str
    make: Callable[[Case], Run]
    ours: bool = False
    path: str | None = None
    same: bool = True
    compared: bool = True
    prepare: Callable[[Case, Inputs], Inputs] | None = None
    missing: Missing = never_missing
    rank: int = 0
    compiled: bool = False


@dataclass(frozen=True)
class Operation:
    """An operation and everything that is measured about it.

    Attributes:
        name: as in `seqvae.ops`.
        cases: what to measure on a kind of machine; "smoke" is tiny.
        inputs: one set of inputs for a case on a device, drawn from a seed.
        leaves: inputs with gradients.
        providers: contenders; the first is the plain eager one.
        reference: the truth in float64, from float64 inputs, a provider's outputs (to recover its own random
            noise) and whether the provider is ours (its noise is then known); differentiable.
        traffic: bytes that must move, each input read and each output written once.
        flops: multiplications and additions that must be done.
        law: why a provider's random outputs are not what they should be, or None.
    """

    name: str
    cases: Callable[[Kind], tuple[Case, ...]]
    inputs: Callable[[Case, torch.device, int], Inputs]
    leaves: tuple[str, ...]
    providers: tuple[Provider, ...]
    reference: Callable[[Case, Inputs, Outputs, bool], Outputs]
    traffic: Callable[[Case, Mode], int]
    flops: Callable[[Case, Mode], int]
    law: Callable[[Case, Inputs, Outputs], str | None] | None = None

    def case(self, kind: Kind, name: str) -> Case:
        """The case of that name.

        Raises:
            KeyError: there is none.
        """
        for case in self.cases(kind):
            if case.name == name:
                return case
        raise KeyError(f"{self.name} has no case {name!r} for {kind}")

    def provider(self, name: str) -> Provider:
        """The provider of that name.

        Raises:
            KeyError: there is none.
        """
        for provider in self.providers:
            if provider.name == name:
                return provider
        raise KeyError(f"{self.name} has no provider {name!r}")


def nbytes(inputs: Inputs) -> int:
    """Bytes of a set of inputs, memory that two of them share counted once."""
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()
        for value in inputs.values()
        if isinstance(value, Tensor)
    }
    return sum(storages.values())
