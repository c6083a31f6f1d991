"""K4: KL of every row to the prior, without gradients."""

import torch

from benchmarks.operation import Case, Inputs, Mode, Operation, Outputs, Provider, Run
from benchmarks.providers import gaussian_latent as latent
from benchmarks.providers import sample_latent
from benchmarks.providers.common import compiled, ours


def eager(case: Case) -> Run:
    """What one writes; in float32, since bf16 sums would be off."""
    del case

    def run(inputs: Inputs) -> Outputs:
        mean, log_variance = (half.float() for half in latent.halves(inputs))
        return (-0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(-1),)

    return run


def fused(case: Case) -> Run:
    """Ours."""
    del case
    from seqvae.ops.sample_latent import kl_rows

    def run(inputs: Inputs) -> Outputs:
        return (kl_rows(inputs["statistics"], None),)

    return run


def reference(case: Case, inputs: Inputs, outputs: Outputs, ours: bool) -> Outputs:
    """In float64."""
    del case, outputs, ours
    mean, log_variance = latent.halves(inputs)
    return (0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(-1),)


def traffic(case: Case, mode: Mode) -> int:
    """Two statistics read, a float32 a row written."""
    del mode
    return case.sizes["N"] * (2 * case.sizes["D"] * case.element + 4)


PLAIN = Provider("eager", eager)
OPERATION = Operation(
    name="kl_rows",
    cases=sample_latent.cases,
    inputs=latent.inputs,
    leaves=(),
    providers=(PLAIN, *ours(fused), *compiled(PLAIN)),
    reference=reference,
    traffic=traffic,
    flops=latent.no_flops,
)
