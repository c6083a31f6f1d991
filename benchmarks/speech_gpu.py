"""Five minutes of training a larger speech model with the project's kernels; bar 7 of issue D.

    python -m benchmarks.speech_gpu [--preset small] [--minutes 5] [--device cuda]

The voices are synthetic and made as frames, so that a bare GPU machine needs neither recordings nor libraries for
them: pulses of a pitch that rises and falls, through formants that move. First the same steps are taken with the kernels and with
the torch implementations; where the losses part, nothing is trained. Then the run: rates, errors on voices not trained on, speed, memory.
Words and similarity are judged on recordings only (`benchmarks.speech`).
"""

import argparse
import contextlib
import copy
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import ledger, write_result
from seqvae.batch import Batch
from seqvae.config import Experiment
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.pitch import CONTOUR_SCALE
from seqvae.model import SequenceVAE
from seqvae.nn.harmonics import Harmonics
from seqvae.nn.warp import draw_factors, warp_mels
from seqvae.objectives import Loss
from seqvae.ops.dispatch import explain, use
from seqvae.preset_speech import speech_preset

STEPS = 20
"""Of the comparison."""
TOLERANCE = {"cuda": 2e-2, "cpu": 1e-3}
SPREAD, CENTER = 1.5, -5.0
"""Of the frames, natural log-mel."""
FORMANTS = 4


class Voices:
    """Synthetic speech as frames.

    Args:
        settings: of the frames.
        count: speakers; each has a pitch and a length of throat.
        device: where.
    """

    def __init__(self, settings: MelSettings, count: int, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.harmonics = Harmonics(settings).to(device)
        generator = torch.Generator().manual_seed(1)
        self.pitch = (4.5 + torch.rand(count, generator=generator)).to(device)
        self.throat = (0.8 + 0.4 * torch.rand(count, generator=generator)).to(device)

    def batch(self, size: int, frames: int, number: int) -> Batch:
        """Batch `number` of `size` crops."""
        generator = torch.Generator(self.device).manual_seed(number)

        def walk(width: int) -> Tensor:
            """Smooth random courses [size, frames, width] of variance 1."""
            noise = torch.randn(size, width, frames + 30, generator=generator, device=self.device)
            smooth = torch.nn.functional.avg_pool1d(noise, 16, 1)[..., :frames] * 4.0
            return smooth.transpose(1, 2)

        who = torch.randint(len(self.pitch), (size,), generator=generator, device=self.device)
        course, voiced = walk(1)[..., 0], (walk(1)[..., 0] > -0.5).float()
        log = self.pitch[who][:, None] + CONTOUR_SCALE * course
        pitch = torch.stack([course, torch.ones_like(course), log], -1) * voiced[..., None]
        bins = torch.arange(self.settings.mels, device=self.device) / self.settings.mels
        place = torch.sigmoid(walk(FORMANTS)) * self.throat[who][:, None, None]
        shape = torch.exp(-0.5 * ((bins - place[..., None]) / 0.04).square()).sum(2)
        hiss = 0.3 * torch.randn(
            size, frames, self.settings.mels, generator=generator, device=self.device
        )
        values = CENTER + SPREAD * (shape + 0.5 * self.harmonics(pitch) + hiss - 0.5)
        seed = torch.tensor([number], device=self.device)
        return Batch(
            values,
            torch.full((size,), frames, device=self.device),
            who,
            source=warp_mels(values, draw_factors(seed, size, 0.2)),
            source_lengths=torch.full((size,), frames, device=self.device),
            pitch=pitch,
        )


class Contender:
    """A model in training.

    Args:
        experiment: preset.
        model: initial weights; copied.
        device: where.
        kernels: whether its operations are the kernels, not torch's.
    """

    def __init__(
        self, experiment: Experiment, model: SequenceVAE, device: torch.device, kernels: bool
    ) -> None:
        self.model, self.device = copy.deepcopy(model).to(device).train(), device
        self.objective = experiment.objective.build()
        self.kernels = kernels
        self.rate = experiment.training.learning_rate
        self.warmup = experiment.training.warmup * experiment.training.steps
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), self.rate, betas=(0.9, 0.98), weight_decay=0.01
        )

    def loss(self, batch: Batch, number: int) -> Loss:
        """The loss of a batch."""
        seed = torch.tensor([number], device=self.device)
        on = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on):
            terms = self.model(batch, seed)
        found: Loss = self.objective(terms, 0.5)
        return found

    def step(self, batch: Batch, number: int) -> Loss:
        """One optimiser step."""
        # At the full rate Adam's first steps have the rate's size however small a gradient is: rounding of 1e-7
        # parts the curves by 0.5 % within 20 steps, which tells nothing of the kernels.
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (number + 1) / self.warmup)
        # The reader of pitch draws its changes from torch's generator.
        torch.manual_seed(number)
        with contextlib.nullcontext() if self.kernels else use("reference"):
            loss = self.loss(batch, number)
            self.optimizer.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss


def l1(model: SequenceVAE, batch: Batch) -> float:
    """Mean absolute error of frames written from the means, in standard deviations of a bin."""
    model.eval()
    with torch.inference_mode():
        content = model.content(batch.values).mean
        style = model.style(batch.values).mean if model.latent is not None else None
        condition = model.condition(style, batch.labels)
        written = model.frames(content, condition, batch.values.shape[1], batch.pitch)
    model.train()
    return float((written - batch.values).abs().mean()) / SPREAD


def measure(size: Any, device: torch.device, minutes: float, crops: int | None) -> dict[str, Any]:  # noqa: ANN401
    """Compare, then train."""
    torch.manual_seed(0)
    settings, experiment = MelSettings(), speech_preset(size)
    speech = experiment.speech
    frames, crops = speech.crop_frames(settings), crops or speech.batch
    mean, std = torch.full((settings.mels,), CENTER), torch.full((settings.mels,), SPREAD)
    model = speech.build(settings, mean.numpy(), std.numpy(), speakers=64)
    for module in model.modules():  # masks come from torch's generator, whose order differs
        if hasattr(module, "dropout"):
            module.dropout = 0.0  # type: ignore[assignment]
    voices = Voices(settings, 64, device)
    both = [Contender(experiment, model, device, kernels) for kernels in (True, False)]
    curves = [
        [float(one.step(voices.batch(crops, frames, n), n).total.detach()) for n in range(STEPS)]
        for one in both
    ]
    part = max(abs(a / b - 1) for a, b in zip(*curves, strict=True))
    # The last gradients of both, after clipping to the same norm: the curves alone hardly feel a wrong one so early.
    gradients = [
        torch.cat([p.grad.flatten() for p in one.model.parameters() if p.grad is not None])
        for one in both
    ]
    slope = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    found: dict[str, Any] = {
        "preset": size,
        "device": device.type,
        "parameters": sum(p.numel() for p in model.parameters()),
        "crops": crops,
        "frames": frames,
        "curves": dict(zip(("kernels", "reference"), curves, strict=True)),
        "largest_difference": part,
        "gradient_difference": slope,
        "same_curve": part <= TOLERANCE[device.type] and slope <= 3 * TOLERANCE[device.type],
        "paths": [str(choice) for choice in explain()],
    }
    if not found["same_curve"]:
        print(f"the losses part by {part:.2%}, the gradients by {slope:.2%}: nothing is trained")
        return found
    ours, held_out = both[0], voices.batch(crops, frames, 10**9)
    before, number, times = l1(ours.model, held_out), STEPS, []
    end = time.monotonic() + 60 * minutes
    shown: dict[str, float] = {}
    while time.monotonic() < end:
        batch = voices.batch(crops, frames, number)
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        loss = ours.step(batch, number)
        shown = {name: float(value) for name, value in loss.shown.items()}
        times.append(time.perf_counter() - began)
        ours.objective.observe(shown["kl"], shown=shown)
        number += 1
    found["steps"] = number
    found["l1"] = {"before": before, "after": l1(ours.model, held_out)}
    found["shown"] = shown
    if times:
        found["step_ms"] = 1e3 * statistics.median(times)
        found["frames_per_second"] = crops * frames / statistics.median(times)
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--preset", default="small", choices=("tiny", "small", "base"))
    parser.add_argument("--device", default=default, choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=5.0, help="of training")
    parser.add_argument("--crops", type=int, help="of a batch; by default the preset's")
    parser.add_argument("--smoke", action="store_true", help="tiny; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.preset, options.minutes, options.crops = "tiny", 0.02, 1
    found = measure(options.preset, torch.device(options.device), options.minutes, options.crops)
    if "l1" in found:
        print(
            f"{found['steps']} steps, {found.get('frames_per_second', 0):,.0f} frames/s, error "
            f"{found['l1']['before']:.3f} -> {found['l1']['after']:.3f} deviations, "
            f"{found['shown'].get('bit_rate', 0):.0f} bit/s"
        )
    if options.smoke:
        return
    path = write_result(f"speech/train_{options.device}_{options.preset}", found)
    if options.device == "cuda":
        ledger(
            "D",
            [
                {
                    "bar": "7",
                    "what": f"preset {options.preset} trained {options.minutes:g} minutes with the kernels",
                    "target": "same loss curve as torch's, the error falls",
                    "figure": f"curves part by {found['largest_difference']:.2%}, {found.get('l1')}",
                    "met": found["same_curve"] and found["l1"]["after"] < found["l1"]["before"],
                    "result_file": path,
                }
            ],
        )


if __name__ == "__main__":
    main()
