"""K4: draw z without its KL, for inference."""

import torch

from benchmarks.operation import DTYPES, Case, Inputs, Kind, Mode, Operation, Outputs, Provider, Run
from benchmarks.providers import gaussian_latent as latent
from benchmarks.providers.common import compiled, ours
from seqvae.ops.philox import normal


def case(dtype: torch.dtype, rows: int, dimension: int, rank: int) -> Case:
    """One shape."""
    curve = DTYPES[dtype]
    return Case(
        name=f"{curve} {rows}x{dimension}",
        dtype=dtype,
        sizes={"N": rows, "D": dimension},
        x="N*D",
        curve=curve,
        rank=rank,
        switches={"reduce": "both", "packed": True},
        modes=("forward",),
    )


def cases(kind: Kind) -> tuple[Case, ...]:
    """Shapes: many rows as in evaluation, few as in serving."""
    if kind == "smoke":
        return (case(torch.float32, 6, 5, 0),)
    if kind == "cpu":
        return (case(torch.float32, 1 << 13, 128, 1),)
    bf16 = torch.bfloat16
    return case(bf16, 1 << 18, 128, 2), case(bf16, 1 << 9, 128, 3)


def eager(case: Case) -> Run:
    """What one writes."""
    del case

    def run(inputs: Inputs) -> Outputs:
        mean, log_variance = latent.halves(inputs)
        deviation = torch.exp(0.5 * log_variance)
        return (mean + torch.randn_like(deviation) * deviation,)

    return run


def fused(case: Case) -> Run:
    """Ours."""
    del case
    from seqvae.ops.sample_latent import sample_latent

    def run(inputs: Inputs) -> Outputs:
        return (sample_latent(inputs["statistics"], None, inputs["seed"]),)

    return run


def reference(case: Case, inputs: Inputs, outputs: Outputs, ours: bool) -> Outputs:
    """In float64 with the provider's noise."""
    del case
    mean, log_variance = latent.halves(inputs)
    deviation = torch.exp(0.5 * log_variance)
    if ours:
        noise = normal(inputs["seed"], mean.shape, 0, mean.device).double()
    else:
        noise = (outputs[0].double() - mean) / deviation
    return (mean + deviation * noise,)


def traffic(case: Case, mode: Mode) -> int:
    """Two statistics read, z written."""
    del mode
    return 3 * case.sizes["N"] * case.sizes["D"] * case.element


PLAIN = Provider("eager", eager)
OPERATION = Operation(
    name="sample_latent",
    cases=cases,
    inputs=latent.inputs,
    leaves=(),
    providers=(PLAIN, *ours(fused), *compiled(PLAIN)),
    reference=reference,
    traffic=traffic,
    flops=latent.no_flops,
    law=latent.law,
)
