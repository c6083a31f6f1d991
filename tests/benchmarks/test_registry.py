"""What the kernel benchmark would compare is right, and counts what it should."""

import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from benchmarks.contender import Contender, relative_error
from benchmarks.measure import checked
from benchmarks.operation import Case, Inputs, Kind, Operation, Outputs, Provider, Run, nbytes
from benchmarks.plan import plan
from benchmarks.providers.prefix_attention import lengths_of, visible
from benchmarks.registry import REGISTRY

CPU = torch.device("cpu")
KINDS: tuple[Kind, ...] = ("cuda", "cpu", "smoke")
SMOKE = [
    pytest.param(operation, case, provider, id=f"{operation.name}-{case.name}-{provider.name}")
    for operation in REGISTRY.values()
    for case in operation.cases("smoke")
    for provider in operation.providers
    if not provider.compiled
]
OPERATIONS = pytest.mark.parametrize("operation", list(REGISTRY.values()), ids=list(REGISTRY))


@OPERATIONS
def test_names_are_unique_and_eager_comes_first(operation: Operation) -> None:
    providers = [provider.name for provider in operation.providers]
    assert providers[0] == "eager"
    assert "seqvae" in providers
    assert "compile" in providers
    assert len(set(providers)) == len(providers)
    for kind in KINDS:
        cases = operation.cases(kind)
        assert cases
        assert len({case.name for case in cases}) == len(cases)
        points = [(case.curve, case.x_value) for case in cases]
        assert len(set(points)) == len(points), "two points of a curve stand on one another"
        assert all(operation.case(kind, case.name) == case for case in cases)


def test_every_provider_the_issue_names_is_there() -> None:
    named = {provider.name for operation in REGISTRY.values() for provider in operation.providers}
    assert {
        *("eager", "compile", "compile-max-autotune", "flex", "liger"),
        *("sdpa-flash", "sdpa-efficient", "sdpa-cudnn", "sdpa-math"),
        *("seqvae-triton", "seqvae-aot", "seqvae-native", "seqvae-reference"),
    } <= named


@pytest.mark.parametrize("kind", KINDS)
def test_every_provider_is_either_planned_or_excused(kind: Kind) -> None:
    planned = plan(REGISTRY.values(), kind)
    done = [(job.op, job.case, name) for job in planned.jobs for name in job.providers]
    excused = [entry[:3] for entry in planned.missing]
    everything = [
        (operation.name, case.name, provider.name)
        for operation in REGISTRY.values()
        for case in operation.cases(kind)
        for provider in operation.providers
    ]
    assert sorted(done + excused) == sorted(everything)
    assert all(entry[3] for entry in planned.missing)
    ranks = [job.rank for job in planned.jobs]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(("operation", "case", "provider"), SMOKE)
def test_providers_agree_with_the_truth(
    operation: Operation, case: Case, provider: Provider
) -> None:
    reason = provider.missing(case, CPU)
    if reason is not None:
        pytest.skip(reason)
    _, refused = checked(Contender(operation, case, provider, CPU))
    if refused is not None and refused.startswith("unavailable"):
        pytest.skip(refused)
    assert refused is None


@OPERATIONS
def test_inputs_are_those_of_their_seed(operation: Operation) -> None:
    for case in operation.cases("smoke"):
        first, again, other = (operation.inputs(case, CPU, seed) for seed in (0, 0, 1))
        floats = [name for name, value in first.items() if value.is_floating_point()]
        assert all(torch.equal(first[name], again[name]) for name in first)
        random = [name for name in floats if name not in ("cosine", "sine")]
        assert not any(torch.equal(first[name], other[name]) for name in random)
        assert nbytes(first) == sum(value.nbytes for value in first.values())


def broken(operation: str, change: Any) -> str | None:  # noqa: ANN401
    """Why the eager provider is refused after a change to its outputs; None if it is not."""
    found = REGISTRY[operation]
    case = replace(found.cases("smoke")[0], name="larger")
    if operation == "gaussian_latent":
        case = replace(case, sizes={"N": 64, "D": 32, "S": 1})
    plain = found.providers[0]

    def make(case: Case) -> Run:
        run = plain.make(case)
        return lambda inputs: change(run(inputs), inputs)

    return checked(Contender(found, case, replace(plain, make=make), CPU))[1]


class Scaled(torch.autograd.Function):
    """The identity with a gradient that is 1 % too large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        return grads[0] * 1.01


def scaled(outputs: Outputs, inputs: Inputs) -> Outputs:
    del inputs
    return cast(Tensor, Scaled.apply(outputs[0])), *outputs[1:]  # type: ignore[no-untyped-call]


def unwritten(outputs: Outputs, inputs: Inputs) -> Outputs:
    del inputs
    holes = torch.zeros_like(outputs[0])
    holes.view(-1)[-1] = math.nan
    return outputs[0] + holes, *outputs[1:]


def narrow_noise(outputs: Outputs, inputs: Inputs) -> Outputs:
    mean = inputs["mean"]
    return mean + 0.8 * (outputs[0] - mean), *outputs[1:]


def test_mistakes_are_found() -> None:
    assert broken("gaussian_latent", lambda outputs, inputs: outputs) is None
    assert "wrong" in str(broken("gaussian_latent", narrow_noise))
    assert "noise" in str(broken("gaussian_latent", narrow_noise))
    assert "gradient of key" in str(broken("prefix_attention", scaled))
    assert "output 0 inf" in str(broken("prefix_attention", unwritten))
    assert "output 0" in str(broken("kl_rows", lambda outputs, inputs: (outputs[0][:1],)))
    assert relative_error(torch.ones(3), torch.ones(4)) == math.inf


@pytest.mark.parametrize("op", ["gaussian_latent", "prefix_attention", "sample_latent", "kl_rows"])
def test_traffic_is_that_of_the_tensors(op: str) -> None:
    operation = REGISTRY[op]
    for case in operation.cases("smoke"):
        if case.switches.get("view") == "lengths":
            continue
        contender = Contender(operation, case, operation.providers[0], CPU)
        inputs = contender.plain(operation.inputs(case, CPU, 0))
        inputs.pop("seed", None)
        outputs = contender.run(contender.inputs(0))
        read, written = nbytes(inputs), sum(output.nbytes for output in outputs)
        if op == "kl_rows":
            assert written == 4 * case.sizes["N"]
        assert operation.traffic(case, "forward") == read + written
        if contender.differentiable:
            # Statistics or states and the outputs' gradients in, the inputs' gradients out.
            assert operation.traffic(case, "backward") == 2 * read + written
            total = operation.traffic(case, "forward") + operation.traffic(case, "backward")
            assert operation.traffic(case, "both") == total


def test_attention_counts_the_pairs_that_see_each_other() -> None:
    operation = REGISTRY["prefix_attention"]
    for case in (*operation.cases("smoke"), operation.cases("cpu")[0]):
        mask = visible(case, operation.inputs(case, CPU, 0))
        assert mask is not None
        batch, heads, steps, width = (case.sizes[name] for name in "BHSD")
        pairs = int(mask.expand(batch, 1, steps, mask.shape[-1]).sum())
        assert operation.flops(case, "forward") == 4 * pairs * heads * width
        assert operation.flops(case, "both") == 3.5 * operation.flops(case, "forward")
    lengths = lengths_of(operation.cases("smoke")[1])
    assert lengths is not None
    assert max(lengths) == 6
    assert min(lengths) >= 3


def test_what_eager_keeps_for_backward_is_counted() -> None:
    operation = REGISTRY["gaussian_latent"]
    case = operation.cases("smoke")[0]
    saved = Contender(operation, case, operation.providers[0], CPU).saved()
    # The noise, the deviation, the variance, and the sum before its clamp.
    element = 4 * case.sizes["N"] * case.sizes["D"]
    assert saved == (4, 3 * element + 4 * case.sizes["N"])
