"""Sequences to compare graphs with PyTorch on, and what PyTorch makes of them."""

from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import torch

from seqvae.data.frames.sequences import Floats
from seqvae.evaluation.likelihood import evaluating
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.tasks.frames_model import FramesModel


@dataclass(frozen=True, eq=False)
class FramesCase:
    """One sequence to be read and written again.

    Attributes:
        name: what it stands for.
        frames: float32 [T, F].
        label: number of its label; None: the model is not conditional.
        target: number of the label under which it is written; None: `label`.
        options: those that are not at their defaults.
    """

    name: str
    frames: Floats
    label: int | None = None
    target: int | None = None
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Truth:
    """What becomes of a sequence: mean, log_variance and z [D], and what is written, [T, F]; all float32."""

    mean: Floats
    log_variance: Floats
    z: Floats
    written: Floats


def compared_cases(model: FramesModel) -> list[FramesCase]:
    """Sequences of every kind of length and with every option: some that the model writes, some of noise."""
    longest = model.longest
    lengths = sorted({1, 2, longest // 2 + 1, max(1, longest - 1), longest} & {*range(longest + 1)})
    labels = cycle(range(len(model.labels)) if model.conditional else [None])
    least, greatest = map(float, model.info.get("range", (0.0, 1.0)))
    draw = np.random.default_rng(0)
    cases = []
    for number, length in enumerate(lengths):
        label = next(labels)
        named = None if label is None else [model.labels[label]]
        (own,) = model.sample(1, length=length, labels=named, seed=number)
        cases.append(FramesCase(f"own-{length}", own, label))
        noise = draw.uniform(least, greatest, own.shape).astype(np.float32)
        cases.append(FramesCase(f"noise-{length}", noise, next(labels)))
    last = cases[-2]
    options: dict[str, dict[str, float]] = {
        "around": {"noise_scale": 1.0, "seed": -5},
        "further": {"noise_scale": 0.5, "seed": 2**62 + 3, "sample": 7},
    }
    cases += [FramesCase(n, last.frames, last.label, None, given) for n, given in options.items()]
    if last.label is not None and len(model.labels) > 1:
        other = (last.label + 1) % len(model.labels)
        cases.append(FramesCase("switched", last.frames, last.label, other))
    return cases


def write_with_torch(model: FramesModel, case: FramesCase) -> Truth:
    """What PyTorch makes of a sequence: the truth that graphs are held to."""
    named = None if case.label is None else [model.labels[case.label]]
    batch = model.batch([case.frames], named)
    target = case.label if case.target is None else case.target
    label = None if target is None else torch.tensor([target], device=model.device)
    seed = torch.tensor([int(case.options.get("seed", 0))], device=model.device)
    sample = int(case.options.get("sample", 0))
    with evaluating(model.model):
        posterior = model.model.encode(batch)
        # Sample k of one row has the noise of `sample` k.
        drawn = posterior.sample(seed, sample + 1, case.options.get("noise_scale", 0.0))
        z = drawn[sample]
        written = model.model.write(z, batch.lengths, label)
    assert isinstance(posterior, DiagonalGaussian)
    found = (posterior.location, posterior.log_variance, z, written)
    return Truth(*(one[0].cpu().numpy() for one in found))
