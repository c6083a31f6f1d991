"""A training step of the text model: with the kernels, and with torch.compile and SDPA instead.

    python -m benchmarks.end_to_end [--preset small] [--device cuda]

All contenders start from the same weights and see the same batches and noise. `eager` and `compiled` take the torch
implementations (SDPA with the latent prefix concatenated), `kernels` and `kernels_compiled` what seqvae.ops chooses. The loss
curves are compared first: when they part, no ratio is printed. Then every round times all of them; figures are medians of real
tokens a second (padding not counted), bfloat16 autocast on a GPU, float32 on a CPU.
"""

import argparse
import contextlib
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import ledger, write_result
from seqvae.batch import Batch
from seqvae.config import preset
from seqvae.model import SequenceVAE
from seqvae.ops.dispatch import explain, use

TARGET = 1.3
CONTENDERS = ("eager", "compiled", "kernels", "kernels_compiled")
# Of the loss: bfloat16 keeps 8 bits, and 20 AdamW steps amplify what they drop.
TOLERANCE = {"cuda": 2e-2, "cpu": 1e-3}


def batches(
    count: int, tokens: int, vocabulary: int, longest: int, device: torch.device
) -> list[Batch]:
    """Random batches of about `tokens` padded tokens, lengths in a bucket of 8 as the loader's."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(count):
        width = 8 * int(torch.randint(2, longest // 8 + 1, (), generator=generator))
        rows = max(1, tokens // width)
        values = torch.randint(4, vocabulary, (rows, width), generator=generator)
        lengths = torch.randint(width - 7, width + 1, (rows,), generator=generator)
        values[torch.arange(width)[None, :] >= lengths[:, None]] = 0
        found.append(Batch(values.to(device), lengths.to(device)))
    return found


class Contender:
    """One way to take the training step.

    Args:
        name: one of `CONTENDERS`.
        model: initial weights; copied.
        device: where.
    """

    def __init__(self, name: str, model: SequenceVAE, device: torch.device) -> None:
        self.name, self.device = name, device
        self.model = copy.deepcopy(model).to(device).train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, fused=device.type == "cuda"
        )
        self.network: Callable[..., Any] = self.model
        if name.endswith("compiled"):
            self.network = torch.compile(self.model, dynamic=True)

    def path(self) -> contextlib.AbstractContextManager[None]:
        """Where its operations are taken from."""
        if self.name.startswith("kernels"):
            return contextlib.nullcontext()
        return use("reference")

    def step(self, batch: Batch, number: int) -> Tensor:
        """One optimiser step; the loss in nats per sequence, still on the device."""
        seed = torch.tensor([number], device=self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with (
            self.path(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"),
        ):
            terms = self.network(batch, seed)
            loss: Tensor = (terms.reconstruction.mean(0) + 0.1 * terms.kl).mean()
        with self.path():
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()


def curve(contender: Contender, data: list[Batch], steps: int) -> list[float]:
    """Losses of the first steps."""
    return [
        float(contender.step(data[number % len(data)], number).item()) for number in range(steps)
    ]


def timed(contender: Contender, data: list[Batch], steps: int) -> float:
    """Real tokens a second over `steps` steps."""
    tokens = sum(int((data[n % len(data)].lengths - 1).sum()) for n in range(steps))
    _wait(contender.device)
    began = time.perf_counter()
    for number in range(steps):
        contender.step(data[number % len(data)], number)
    _wait(contender.device)
    return tokens / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    size: str, device: torch.device, vocabulary: int, steps: int, rounds: int, tokens: int | None
) -> dict[str, Any]:
    """Curves, then interleaved timings, of all contenders."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    base = preset(size)  # type: ignore[arg-type]
    model = base.model.build(vocabulary)
    # Dropout masks come from torch's generator, whose order differs between the contenders.
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    data = batches(
        8, tokens or base.training.tokens_per_batch, vocabulary, base.model.max_length // 2, device
    )
    found = {name: Contender(name, model, device) for name in CONTENDERS}
    curves = {name: curve(one, data, steps) for name, one in found.items()}
    chosen = [str(choice) for choice in explain()]
    part = max(
        abs(a / b - 1)
        for name in CONTENDERS
        for a, b in zip(curves[name], curves["eager"])  # noqa: B905
    )
    limit = TOLERANCE[device.type]
    result: dict[str, Any] = {
        "preset": size,
        "vocabulary": vocabulary,
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": device.type,
        "curves": curves,
        "largest_difference": part,
        "same_curve": part <= limit,
        "paths": chosen,
    }
    if part > limit:
        print(f"the loss curves part by {part:.2%}, more than {limit:.1%}: nothing is timed")
        return result
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(rounds + 1):
        for name, one in found.items():
            speed = timed(one, data, len(data))
            if number:  # the first round compiles the shapes that the curves did not meet
                speeds[name].append(speed)
    result["tokens_per_second"] = {name: statistics.median(x) for name, x in speeds.items()}
    ours = max(("kernels", "kernels_compiled"), key=lambda name: result["tokens_per_second"][name])
    result["ours"] = ours
    result["ratio"] = {
        name: statistics.median(a / b for a, b in zip(speeds[ours], speeds[name]))  # noqa: B905
        for name in CONTENDERS
    }
    return result


def main(arguments: list[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--preset", default="small", choices=("tiny", "small", "base"))
    parser.add_argument("--device", default=default, choices=("cuda", "cpu"))
    parser.add_argument("--vocabulary", type=int, default=8192, help="pieces")
    parser.add_argument("--tokens", type=int, help="of a batch; by default the preset's")
    parser.add_argument("--steps", type=int, default=20, help="of the loss curve")
    parser.add_argument("--rounds", type=int, default=10, help="timings of each contender")
    parser.add_argument("--smoke", action="store_true", help="tiny; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.preset, options.tokens, options.vocabulary = "tiny", 64, 64
        options.steps, options.rounds = 2, 1
    result = measure(
        options.preset,
        torch.device(options.device),
        options.vocabulary,
        options.steps,
        options.rounds,
        options.tokens,
    )
    for name, speed in result.get("tokens_per_second", {}).items():
        print(f"{name:17} {speed:12,.0f} tokens/s, ours {result['ratio'][name]:.2f} x")
    if options.smoke:
        return
    path = write_result(f"end_to_end_{options.device}_{options.preset}", result)
    if options.device == "cuda":
        ratio = result.get("ratio", {}).get("compiled")
        ledger(
            "B",
            [
                {
                    "bar": "4",
                    "what": f"training step against torch.compile and SDPA, preset {options.preset}",
                    "target": f">= {TARGET} x, same loss curve",
                    "figure": f"{ratio:.2f} x" if ratio else "the loss curves part",
                    "met": bool(ratio and ratio >= TARGET),
                    "result_file": path,
                }
            ],
        )


if __name__ == "__main__":
    main()
