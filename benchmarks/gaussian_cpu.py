"""Time the Gaussian latent on the CPU: plain PyTorch, torch.compile, and the C++ twin.

    python -m benchmarks.gaussian_cpu
    python -m benchmarks.gaussian_cpu --smoke

Every provider draws z and sums the KL over dimensions, float32, and gives both gradients. First each is checked against
float64; if one is wrong nothing is timed. Then all take turns, so that a busy machine slows them alike. `compile` is
torch.compile as it comes; `compile_eager_noise` lets it draw the noise as eager PyTorch does, which is the faster of the two
on a CPU. `native` calls the library and allocates the results; `ops` is `seqvae.ops.gaussian_latent` under autograd.
"""

import inspect
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import tyro
from torch import Tensor

from benchmarks.record import ledger, write_result
from seqvae.kernels.native import request
from seqvae.ops import dispatch, gaussian_latent, normal

Mode = Literal["forward", "backward", "both"]
SHAPES = ((2**15, 32), (2**14, 64), (2**16, 64), (2**12, 256), (2**10, 64))
BAR_ELEMENTS = 2**20
# Against whom, at least how many times as fast forward and backward.
TARGETS = {"eager": 3.0, "compile": 1.2}
# Relative root mean square error; float32 rounding is 6e-8, a sum over 256 dimensions some times that.
TOLERANCE = 2e-6
SEED = 20
# The load average of the last minute above which a machine is too busy to be believed.
QUIET_LOAD = 1.0


@dataclass(frozen=True)
class Provider:
    """A way to compute it.

    Attributes:
        name: in the table.
        forward: mean, log-variance -> z, kl [N].
        backward: outputs, (mean, log-variance), their gradients -> gradients.
        setting: in which both are called.
        same_noise: whether the noise is that of `seqvae.ops.normal`.
    """

    name: str
    forward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor, ...]] = torch.autograd.grad
    setting: Callable[[], AbstractContextManager[None]] = nullcontext
    same_noise: bool = False


def eager(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """As everybody writes it."""
    deviation = torch.exp(0.5 * log_variance)
    z = mean + deviation * torch.randn_like(deviation)
    return z, -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)


def compiled(threads: int, eager_noise: bool) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """`eager` under torch.compile; the number of threads and the kind of noise are compiled in."""
    options: dict[str, Any] = {"cpp.threads": threads, "fallback_random": eager_noise}
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = torch.compile(
        eager, fullgraph=True, dynamic=False, options=options
    )
    return function


def native(threads: int) -> Provider:
    """The library, called with addresses."""

    def fields(mean: Tensor) -> dict[str, int]:
        rows, dim = mean.shape
        strides = {"mean_stride": dim, "log_variance_stride": dim}
        return {"rows": rows, "dim": dim, **strides, "seed": SEED}

    def forward(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        z, kl = torch.empty_like(mean), mean.new_empty(len(mean))
        request.forward(
            mean.data_ptr(),
            log_variance.data_ptr(),
            **fields(mean),  # type: ignore[arg-type]
            threads=threads,
            z=z.data_ptr(),
            kl_rows=kl.data_ptr(),
        )
        return z, kl

    def backward(
        outputs: object, inputs: tuple[Tensor, Tensor], upstream: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        mean, log_variance = inputs
        d_mean, d_log_variance = torch.empty_like(mean), torch.empty_like(mean)
        request.backward(
            mean.data_ptr(),
            log_variance.data_ptr(),
            d_mean.data_ptr(),
            d_log_variance.data_ptr(),
            d_mean_stride=mean.shape[1],
            d_log_variance_stride=mean.shape[1],
            **fields(mean),  # type: ignore[arg-type]
            threads=threads,
            d_z=upstream[0].data_ptr(),
            d_kl_rows=upstream[1].data_ptr(),
        )
        return d_mean, d_log_variance

    return Provider("native", forward, backward, torch.no_grad, same_noise=True)


def operation() -> Provider:
    """The public operation on its native path."""
    seed = torch.tensor([SEED])
    fused: Any = gaussian_latent

    def forward(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = fused(mean, log_variance, seed, reduce="rows")
        return found

    @contextmanager
    def setting() -> Iterator[None]:
        with dispatch.use("native"):
            yield

    return Provider("ops", forward, setting=setting, same_noise=True)


def providers(threads: int, compile: bool) -> list[Provider]:
    """All that there are."""
    found = [Provider("eager", eager)]
    if compile:
        found.append(Provider("compile", compiled(threads, eager_noise=False)))
        found.append(Provider("compile_eager_noise", compiled(threads, eager_noise=True)))
    found.append(native(threads))
    if "reduce" in inspect.signature(gaussian_latent).parameters:
        found.append(operation())
    return found


@dataclass(frozen=True)
class Inputs:
    """Statistics of a posterior and gradients of what is made of them."""

    statistics: tuple[Tensor, Tensor]
    upstream: tuple[Tensor, Tensor]

    @classmethod
    def draw(cls, rows: int, dim: int) -> "Inputs":
        """Normal ones."""
        generator = torch.Generator().manual_seed(0)
        mean, log_variance, dz = (torch.randn(rows, dim, generator=generator) for _ in range(3))
        statistics = mean.requires_grad_(), log_variance.requires_grad_()
        return cls(statistics, (dz, torch.randn(rows, generator=generator)))


def error_of(found: Tensor, true: Tensor) -> float:
    """||found - true|| / ||true||, infinite where `found` is not finite."""
    if not bool(found.isfinite().all()):
        return math.inf
    return float((found.double() - true).norm() / true.norm())


def errors(provider: Provider, inputs: Inputs) -> dict[str, float]:
    """Relative errors of the results against float64; of `noise`, standard errors from its law."""
    with provider.setting():
        outputs = provider.forward(*inputs.statistics)
        gradients = provider.backward(outputs, inputs.statistics, inputs.upstream)
    z, kl = (output.detach() for output in outputs)
    mean, log_variance = (one.detach().double() for one in inputs.statistics)
    dz, dkl = inputs.upstream[0].double(), inputs.upstream[1].double()[:, None]
    deviation = torch.exp(0.5 * log_variance)
    # Each provider's own noise, from its z; what the gradients must be follows.
    noise = (z.double() - mean) / deviation
    count = noise.numel()
    found = {
        "kl": error_of(kl, 0.5 * (mean.square() + log_variance.expm1() - log_variance).sum(-1)),
        "gradient of mean": error_of(gradients[0], dz + dkl * mean),
        "gradient of log-variance": error_of(
            gradients[1], 0.5 * (dz * deviation * noise + dkl * log_variance.expm1())
        ),
    }
    if provider.same_noise:
        exact = normal(torch.tensor([SEED]), mean.shape).double()
        found["z"] = error_of(z, mean + deviation * exact)
    law = (noise.mean() * math.sqrt(count), (noise.var() - 1) * math.sqrt(count / 2))
    if max(abs(float(one)) for one in law) > 6:
        found["law of the noise"] = math.inf
    return found


def check(contenders: list[Provider], inputs: Inputs) -> dict[str, dict[str, float]]:
    """The errors of all.

    Raises:
        SystemExit: one is wrong; the message says which and by how much.
    """
    found = {one.name: errors(one, inputs) for one in contenders}
    wrong = [
        f"{name}: {what} is off by {value:.1e}"
        for name, all_errors in found.items()
        for what, value in all_errors.items()
        if not value <= TOLERANCE
    ]
    if wrong:
        raise SystemExit("nothing is timed, because results are wrong:\n" + "\n".join(wrong))
    return found


@dataclass
class Samples:
    """Nanoseconds of calls, by the clock and of processor time."""

    clock: dict[Mode, list[int]]
    processor: dict[Mode, list[int]]

    def take(self, provider: Provider, inputs: Inputs) -> None:
        """Call forward and backward once."""
        with provider.setting():
            began = time.perf_counter_ns(), time.process_time_ns()
            outputs = provider.forward(*inputs.statistics)
            between = time.perf_counter_ns(), time.process_time_ns()
            provider.backward(outputs, inputs.statistics, inputs.upstream)
            ended = time.perf_counter_ns(), time.process_time_ns()
        for place, kept in enumerate((self.clock, self.processor)):
            kept["forward"].append(between[place] - began[place])
            kept["backward"].append(ended[place] - between[place])
            kept["both"].append(ended[place] - began[place])

    def summary(self) -> dict[str, dict[str, float]]:
        """Microseconds of each mode."""
        return {
            mode: {
                "median_us": statistics.median(self.clock[mode]) / 1e3,
                "least_us": min(self.clock[mode]) / 1e3,
                "median_processor_us": statistics.median(self.processor[mode]) / 1e3,
            }
            for mode in self.clock
        }


def race(contenders: list[Provider], inputs: Inputs, rounds: int) -> dict[str, Any]:
    """Time all in turn, `rounds` times, after two that do not count."""

    def empty() -> Samples:
        return Samples(
            {"forward": [], "backward": [], "both": []}, {"forward": [], "backward": [], "both": []}
        )

    samples = {one.name: empty() for one in contenders}
    for number in range(rounds + 2):
        turn = number % len(contenders)
        for provider in contenders[turn:] + contenders[:turn]:
            kept = samples[provider.name] if number > 1 else empty()
            kept.take(provider, inputs)
    return {name: one.summary() for name, one in samples.items()}


def ratios(times: dict[str, Any], figure: str) -> dict[str, dict[str, float]]:
    """How many times as fast as the others ours are, forward and backward."""
    ours = [name for name in ("native", "ops") if name in times]
    return {
        name: {
            other: times[other]["both"][figure] / times[name]["both"][figure]
            for other in times
            if other not in ours
        }
        for name in ours
    }


def measure(rows: int, dim: int, threads: int, rounds: int, compile: bool) -> dict[str, Any]:
    """Check, then time, one shape."""
    torch.set_num_threads(threads)
    # Compile each shape for itself: a second one would make the first's code dynamic.
    torch.compiler.reset()
    contenders = providers(threads, compile)
    inputs = Inputs.draw(rows, dim)
    found = {"rows": rows, "dim": dim, "threads": threads, "rounds": rounds}
    wrong = check(contenders, inputs)
    times = race(contenders, inputs, rounds)
    return {
        **found,
        "errors": wrong,
        "times": times,
        "ratios": ratios(times, "median_us"),
        "ratios_of_least": ratios(times, "least_us"),
    }


def show(case: dict[str, Any]) -> None:
    """Print a table of one shape."""
    print(f"\n[{case['rows']}, {case['dim']}], {case['threads']} threads; us, median (least)")
    for name, modes in case["times"].items():
        cells = (f"{m} {v['median_us']:9.0f} ({v['least_us']:7.0f})" for m, v in modes.items())
        print(f"  {name:20s} {'  '.join(cells)}")
    for name, others in case["ratios"].items():
        cells = (f"{ratio:.2f} x {other}" for other, ratio in others.items())
        print(f"  {name}, forward + backward: {', '.join(cells)}", flush=True)


def bars(cases: list[dict[str, Any]], threads: int) -> list[dict[str, Any]]:
    """The ledger's rows: the worst large shape, by medians or by least times, of what users call."""
    large = [c for c in cases if c["rows"] * c["dim"] >= BAR_ELEMENTS and c["threads"] == threads]
    rows = []
    for other, target in TARGETS.items():
        ours = "ops" if all("ops" in case["ratios"] for case in large) else "native"
        figures = [
            case[by][ours].get(other) for case in large for by in ("ratios", "ratios_of_least")
        ]
        if not figures or None in figures:
            continue
        worst = min(figure for figure in figures if figure is not None)
        rows.append(
            {
                "bar": "2",
                "what": f"gaussian_latent ({ours}) forward + backward on {threads} CPU threads, "
                f"float32, N x D >= 2^20, times as fast as {other}; least over shapes",
                "target": f">= {target}",
                "figure": round(worst, 2),
                "met": worst >= target,
            }
        )
    return rows


def main(
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 40,
    compile: bool = True,
    smoke: bool = False,
) -> None:
    """Compare the Gaussian latent's CPU implementations.

    Args:
        threads: numbers of threads, the same for all; the ledger takes the last.
        rounds: calls of each provider, in turn; small shapes take ten times as many.
        compile: also torch.compile, which takes a C++ compiler and minutes.
        smoke: one small shape, to see that it runs; nothing is recorded.
    """
    # Other programs stretch what needs several threads at a time, which is not ours.
    busy = os.getloadavg()[0] > QUIET_LOAD
    shapes = ((65, 33),) if smoke else SHAPES
    rounds = 3 if smoke else rounds
    cases = []
    for count in threads:
        for rows, dim in shapes:
            times = rounds if rows * dim >= BAR_ELEMENTS or smoke else 10 * rounds
            cases.append(measure(rows, dim, count, times, compile and not smoke))
            show(cases[-1])
    if smoke:
        return
    path = write_result("gaussian_cpu", {"cases": cases, "busy_at_start": busy})
    found = bars(cases, threads[-1])
    for row in found:
        print(f"{row['what']}: {row['figure']} ({row['target']})")
    if busy:
        print(f"the load average was above {QUIET_LOAD}: the ledger stays as it was")
    else:
        ledger("B", [{**row, "result_file": path} for row in found])


if __name__ == "__main__":
    tyro.cli(main)
