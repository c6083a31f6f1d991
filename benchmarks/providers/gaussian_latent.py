"""K1: draw z and measure its KL, with free bits."""

from typing import Any

import torch
from torch import Tensor

from benchmarks.operation import DTYPES, Case, Inputs, Kind, Mode, Operation, Outputs, Provider, Run
from benchmarks.providers.common import compiled, drawn, ours
from seqvae.ops.philox import normal

# Nats a dimension that free bits grant. Half of the rows (or dimensions) carry about 0.7, half next to none.
FREE = 0.1


def case(
    reduce: str,
    dtype: torch.dtype,
    rows: int,
    dimension: int,
    rank: int,
    *,
    packed: bool = False,
    samples: int = 1,
) -> Case:
    """One shape and reduction."""
    layout = " packed" if packed else ""
    drawn_twice = f" {samples} samples" if samples > 1 else ""
    curve = f"{reduce} {DTYPES[dtype]}{layout}{drawn_twice}"
    return Case(
        name=f"{curve} {rows}x{dimension}",
        dtype=dtype,
        sizes={"N": rows, "D": dimension, "S": samples},
        x="N*D",
        curve=curve,
        rank=rank,
        switches={"reduce": reduce, "packed": packed},
    )


def cases(kind: Kind) -> tuple[Case, ...]:
    """Shapes: a step's latents. 2**25 elements are past any cache, 2**16 are a small model's batch."""
    fp32, bf16 = torch.float32, torch.bfloat16
    if kind == "smoke":
        return case("rows", fp32, 6, 5, 0), case("both", fp32, 7, 4, 1, packed=True)
    if kind == "cpu":
        return (
            case("rows", fp32, 1 << 13, 128, 0),
            case("rows", fp32, 1 << 13, 128, 2, packed=True),
            case("rows", fp32, 1 << 9, 128, 2),
            case("dimensions", fp32, 1 << 13, 128, 2),
        )
    return (
        case("rows", bf16, 1 << 18, 128, 0),
        case("rows", bf16, 1 << 15, 128, 0),
        case("rows", fp32, 1 << 18, 128, 0),
        case("rows", bf16, 1 << 9, 128, 1),
        case("rows", bf16, 1 << 18, 128, 1, packed=True),
        case("dimensions", bf16, 1 << 18, 128, 1),
        case("both", bf16, 1 << 18, 128, 2, packed=True),
        case("rows", bf16, 1 << 12, 128, 3),
        case("rows", bf16, 1 << 20, 128, 3),
        case("rows", bf16, 1 << 15, 128, 3, samples=8),
    )


def inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """Statistics of posteriors, half of which have collapsed, so that free bits matter."""
    generator = drawn(seed, device)
    rows, dimension = case.sizes["N"], case.sizes["D"]
    statistics = torch.randn(rows, 2 * dimension, generator=generator, device=device)
    mean, log_variance = statistics.chunk(2, -1)
    log_variance.mul_(0.5).sub_(1.0)
    # No sum comes near the clamp: there a rounding error would turn a gradient on or off.
    if case.switches["reduce"] == "rows":
        statistics[::2] *= 0.01
    elif case.switches["reduce"] == "dimensions":
        mean[:, ::2] *= 0.01
        log_variance[:, ::2] *= 0.01
    statistics = statistics.to(case.dtype)
    key = torch.tensor([seed], device=device)
    if case.switches["packed"]:
        return {"statistics": statistics, "seed": key}
    mean, log_variance = (half.contiguous() for half in statistics.chunk(2, -1))
    return {"mean": mean, "log_variance": log_variance, "seed": key}


def halves(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, however they are stored."""
    if "statistics" in inputs:
        mean, log_variance = inputs["statistics"].chunk(2, -1)
        return mean, log_variance
    return inputs["mean"], inputs["log_variance"]


def shape_of_z(case: Case) -> tuple[int, ...]:
    """[N, D], or [S, N, D] with several samples."""
    rows = (case.sizes["N"], case.sizes["D"])
    return rows if case.sizes["S"] == 1 else (case.sizes["S"], *rows)


def reduced(case: Case, kl: Tensor) -> Outputs:
    """KL per element to what the case asks for."""
    reduce = case.switches["reduce"]
    if reduce == "rows":
        return (kl.sum(-1).clamp_min(FREE * case.sizes["D"]),)
    if reduce == "dimensions":
        return (kl.mean(0).clamp_min(FREE),)
    return kl.sum(-1), kl.mean(0)


def eager(case: Case) -> Run:
    """What one writes, in the dtype of the inputs."""

    def run(inputs: Inputs) -> Outputs:
        mean, log_variance = halves(inputs)
        deviation = torch.exp(0.5 * log_variance)
        noise = torch.randn(shape_of_z(case), dtype=mean.dtype, device=mean.device)
        z = mean + noise * deviation
        kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp())
        return z, *reduced(case, kl)

    return run


def eager_float32(case: Case) -> Run:
    """The same with the KL in float32, as ours has it."""

    def run(inputs: Inputs) -> Outputs:
        mean, log_variance = halves(inputs)
        deviation = torch.exp(0.5 * log_variance)
        noise = torch.randn(shape_of_z(case), dtype=mean.dtype, device=mean.device)
        z = mean + noise * deviation
        mean, log_variance = mean.float(), log_variance.float()
        kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp())
        return z, *reduced(case, kl)

    return run


def fused(case: Case) -> Run:
    """Ours."""
    from seqvae.ops.gaussian_latent import FreeBits, gaussian_latent

    reduce = case.switches["reduce"]
    settings: dict[str, Any] = {"reduce": reduce}
    if reduce == "rows":
        settings["free_bits"] = FreeBits(FREE * case.sizes["D"], "row")
    elif reduce == "dimensions":
        settings["free_bits"] = FreeBits(FREE, "dimension")
    if case.sizes["S"] > 1:
        settings["samples"] = case.sizes["S"]

    def run(inputs: Inputs) -> Outputs:
        statistics = (
            (inputs["statistics"], None)
            if "statistics" in inputs
            else (inputs["mean"], inputs["log_variance"])
        )
        z, kl = gaussian_latent(*statistics, inputs["seed"], **settings)
        return (z, *kl) if isinstance(kl, tuple) else (z, kl)

    return run


def reference(case: Case, inputs: Inputs, outputs: Outputs, ours: bool) -> Outputs:
    """In float64 with the provider's noise: ours is known, another's is what its z says."""
    mean, log_variance = halves(inputs)
    deviation = torch.exp(0.5 * log_variance)
    if ours:
        noise = normal(inputs["seed"], shape_of_z(case), 0, mean.device).double()
    else:
        noise = ((outputs[0].double() - mean) / deviation).detach()
    kl = 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance)
    return mean + deviation * noise, *reduced(case, kl)


def law(case: Case, inputs: Inputs, outputs: Outputs) -> str | None:
    """Whether the noise in z has mean 0 and variance 1, to six standard errors."""
    mean, log_variance = halves(inputs)
    noise = (outputs[0].double() - mean.double()) / torch.exp(0.5 * log_variance.double())
    error = noise.numel() ** -0.5
    first, second = float(noise.mean()), float(noise.square().mean())
    # bf16 rounds z to 2**-9; by the smallest deviations that adds 1e-4 to the variance.
    room = 0.0 if case.dtype == torch.float32 else 1e-3
    if abs(first) > 6 * error + room or abs(second - 1) > 6 * 2**0.5 * error + room:
        return f"noise has mean {first:.2e} and mean square {second:.5f}"
    return None


def traffic(case: Case, mode: Mode) -> int:
    """Forward reads two statistics and writes z; backward reads them and dz and writes two gradients."""
    rows, dimension, samples = (case.sizes[name] for name in "NDS")
    element = rows * dimension * case.element
    reduced = {"rows": rows, "dimensions": dimension, "both": rows + dimension}
    kl = 4 * reduced[case.switches["reduce"]]
    forward, backward = (2 + samples) * element + kl, (4 + samples) * element + kl
    return {"forward": forward, "backward": backward, "both": forward + backward}[mode]


def no_flops(case: Case, mode: Mode) -> int:
    """Memory decides: special functions are not what a GEMM's peak measures."""
    del case, mode
    return 0


def _same_as_eager(case: Case, device: torch.device) -> str | None:
    del device
    return "the same as eager" if case.dtype == torch.float32 else None


PLAIN = Provider("eager", eager)
OPERATION = Operation(
    name="gaussian_latent",
    cases=cases,
    inputs=inputs,
    leaves=("mean", "log_variance", "statistics"),
    providers=(
        PLAIN,
        *ours(fused),
        *compiled(PLAIN),
        Provider("eager-float32", eager_float32, rank=1, missing=_same_as_eager),
    ),
    reference=reference,
    traffic=traffic,
    flops=no_flops,
    law=law,
)
