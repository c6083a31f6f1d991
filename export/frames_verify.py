"""Compares the graphs of a model of frames with PyTorch, and refuses to ship what says something else."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from seqvae.data.frames.sequences import Floats
from seqvae.errors import UserError
from seqvae.export.bundle_manifest import FRAMES_OPTIONS, MODEL
from seqvae.export.frames_golden import FramesCase, Truth, write_with_torch
from seqvae.export.graphs import Array, Graph
from seqvae.tasks.frames_model import FramesModel

ERROR = 1e-4
"""Greatest relative L2 error of anything that a graph says."""
NEAR_MEAN = 1.0 / 400.0
"""Part of the numbers themselves that counts beside their distance from the corpus' mean: where all lie near to it, and
far from 0, float32 has no more digits to say so."""
JUNK = 7.0
"""Stands behind the end of sequences, where no graph may look."""


@dataclass(frozen=True)
class FramesReport:
    """How the graphs compare.

    Attributes:
        figures: by name: errors, bytes, seconds.
        failures: what is beyond the limits, in words.
        written: what `model.onnx` made of each case, [T, F].
    """

    figures: dict[str, float]
    failures: list[str] = field(default_factory=list)
    written: list[Floats] = field(default_factory=list)


def verify_frames(model: FramesModel, folder: Path, cases: Sequence[FramesCase]) -> FramesReport:
    """Run a variant's graphs on the cases and compare.

    Args:
        model: what was exported.
        folder: the variant's.
        cases: of `compared_cases`.

    Raises:
        UserError: ONNX Runtime refuses a graph.
    """
    whole, encoder, decoder, generate = (
        Graph(folder / f"{name}.onnx") for name in (MODEL, "encoder", "decoder", "generate")
    )
    truths = [write_with_torch(model, case) for case in cases]
    mean = model.model.likelihood.mean_of_bins.cpu().numpy()
    written, frames, latents, decoded = [], [], [], []
    for case, truth in zip(cases, truths, strict=True):
        found = whole.run(feed_of([case]))
        written.append(found["written"][0])
        frames.append(frames_error(found["written"][0], truth.written, mean))
        read = encoder.run({n: v for n, v in feed_of([case]).items() if n in encoder.inputs})
        latents += [
            latent_error(found["z"][0], truth.z),
            latent_error(read["mean"][0], truth.mean),
            latent_error(read["log_variance"][0], truth.log_variance),
        ]
        again = decoder.run(_decoder_feed(case, truth))["written"][0]
        decoded.append(frames_error(again, truth.written, mean))
    figures = {
        "frames_error": max(frames),
        "latent_error": max(latents),
        "decoder_error": max(decoded),
        "generate_error": _generate_error(model, generate, mean),
        "batch_error": _batch_error(whole, cases, written, mean),
        "bytes": float(sum(path.stat().st_size for path in folder.iterdir())),
        "model_megabytes": (folder / f"{MODEL}.onnx").stat().st_size / 1e6,
        "load_seconds": whole.load_seconds,
        **_speed(model, whole, cases),
    }
    return FramesReport(figures, failures(figures), written)


def frames_error(found: Array, wanted: Array, mean: Array) -> float:
    """Relative L2 error of frames [T, F]: of how far they are from the corpus' mean [F], which they share."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    exact = wanted.astype(np.float64)
    size = np.linalg.norm(exact - mean) + NEAR_MEAN * np.linalg.norm(exact)
    return float(np.linalg.norm(found - exact)) / max(float(size), 1e-30)


def latent_error(found: Array, wanted: Array) -> float:
    """L2 error of vectors relative to theirs, or to a deviation of the prior where they are smaller."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    size = max(float(np.linalg.norm(wanted)), wanted.size**0.5)
    return float(np.linalg.norm(found - wanted) / size)


def feed_of(cases: Sequence[FramesCase]) -> dict[str, Array]:
    """The inputs of `model.onnx` for sequences side by side."""
    lengths = np.array([len(case.frames) for case in cases])
    shape = (len(cases), int(lengths.max()), cases[0].frames.shape[1])
    frames = np.full(shape, JUNK, np.float32)
    for row, case in enumerate(cases):
        frames[row, : len(case.frames)] = case.frames
    feed: dict[str, Array] = {"frames": frames, "lengths": lengths}
    if cases[0].label is not None:
        feed["label"] = np.array([case.label for case in cases])
        feed["target"] = np.array([-1 if c.target is None else c.target for c in cases])
    for name in ("noise_scale", "seed", "sample"):
        known = FRAMES_OPTIONS[name]
        values = [[case.options.get(name, known.default)] for case in cases]
        feed[name] = np.array(values, np.dtype(known.dtype))
    return feed


def _decoder_feed(case: FramesCase, truth: Truth) -> dict[str, Array]:
    feed: dict[str, Array] = {"z": truth.z[None], "lengths": np.array([len(case.frames)])}
    if case.label is not None:
        feed["label"] = np.array([case.label if case.target is None else case.target])
    return feed


def _generate_error(model: FramesModel, generate: Graph, mean: Array) -> float:
    """Greatest error of sequences from the prior, of a seed that has all its bits."""
    seed, count, temperature = -(2**61) - 12345, 5, 0.8
    feed = {
        "seed": np.full((count, 1), seed),
        "sample": np.arange(count)[:, None],
        "temperature": np.array([[temperature]], np.float32),
    }
    if model.conditional:
        feed["label"] = np.arange(count) % len(model.labels)
    found = generate.run(feed)["written"]
    wanted = model.sample(count, temperature=temperature, seed=seed)
    return max(frames_error(f, w, mean) for f, w in zip(found, wanted, strict=True))


def _batch_error(
    whole: Graph, cases: Sequence[FramesCase], alone: Sequence[Array], mean: Array
) -> float:
    """How far sequences in a batch of many lengths are from the same alone."""
    both = whole.run(feed_of(cases))["written"]
    errors = []
    for found, wanted in zip(both, alone, strict=True):
        behind = found[len(wanted) :]
        errors.append(float("inf") if behind.any() else 0.0)
        errors.append(frames_error(found[: len(wanted)], wanted, mean))
    return max(errors)


def _speed(model: FramesModel, whole: Graph, cases: Sequence[FramesCase]) -> dict[str, float]:
    """Milliseconds for one sequence of the greatest length on one thread, in one run with PyTorch's."""
    case = max(cases, key=lambda case: len(case.frames))
    found = whole.milliseconds(feed_of([case]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            write_with_torch(model, case)
            times.append(1000.0 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(threads)
    return {
        "sequence_ms": found,
        "torch_sequence_ms": min(times),
        "faster": min(times) / found,
    }


ERRORS = ("frames_error", "latent_error", "decoder_error", "generate_error", "batch_error")
"""The figures that have a limit."""


def failures(figures: Mapping[str, float]) -> list[str]:
    """What is beyond the limit, in words; a figure that is not a number is."""
    return [
        f"{name} {figures[name]:.3g} (at most {ERROR:g})"
        for name in ERRORS
        if not figures[name] <= ERROR
    ]


COLUMNS = {
    "frames_error": ("frames", "{:.0e}"),
    "latent_error": ("latents", "{:.0e}"),
    "generate_error": ("samples", "{:.0e}"),
    "batch_error": ("alone = batch", "{:.0e}"),
    "model_megabytes": ("model.onnx", "{:.1f} MB"),
    "load_seconds": ("load", "{:.2f} s"),
    "sequence_ms": ("a sequence", "{:.2f} ms"),
    "faster": ("PyTorch", "{:.1f} x as long"),
}
"""What the table shows: figure, its title and its form."""


def refuse_failures(variant: str, report: FramesReport) -> None:
    """Refuse a variant beyond the limit.

    Raises:
        UserError: names what it measured and what is allowed.
    """
    if report.failures:
        from seqvae.export.verify import table

        raise UserError(
            f"not written, because it does not write what PyTorch writes: {variant}: "
            f"{', '.join(report.failures)}; report this with the table\n"
            f"{table({variant: report.figures}, COLUMNS)}"
        )
