"""A trained run on frames of numbers to a bundle: graphs compared with PyTorch, or nothing."""

from pathlib import Path
from typing import Literal

import onnx

import seqvae
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_frames import facts_of_frames
from seqvae.export.bundle_manifest import FRAMES_OPTIONS, MODEL, VARIANTS, Manifest, Variant
from seqvae.export.bundle_sequences import GoldenSequence
from seqvae.export.bundle_writer import BundleWriter
from seqvae.export.export import Progress
from seqvae.export.frames_golden import compared_cases
from seqvae.export.frames_parts import export_frames_parts
from seqvae.export.frames_readme import frames_readme
from seqvae.export.frames_verify import FramesReport, refuse_failures, verify_frames
from seqvae.export.frames_whole import FramesIngredients, build_frames_graphs
from seqvae.export.graphs import need_packages
from seqvae.export.source import runtime_facts, source_of
from seqvae.export.weights import save_parts
from seqvae.tasks.frames_model import FramesModel
from seqvae.training.load import load_frames

VARIANT = "cpu-fp32"
"""The one variant of a bundle of frames; it runs on GPUs too."""
TASKS = ("reconstruct", "sample", "interpolate")


def export_frames_run(
    run: str | Path,
    bundle: str | Path,
    *,
    opset: int = 20,
    which: Literal["best", "last"] = "best",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a run on frames; see `export_frames`.

    Args:
        run: folder that `seqvae train` wrote.
        bundle: folder to write.
        opset: of the graphs.
        which: the best or the last weights.
        overwrite: replace a bundle that is there.
        progress: told of each stage.
    """
    need_packages("ids")
    (progress or _silent)("loading the run", 0.0)
    model = load_frames(run, which)
    return export_frames(model, bundle, opset=opset, overwrite=overwrite, progress=progress)


def export_frames(
    model: FramesModel,
    bundle: str | Path,
    *,
    opset: int = 20,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a model of frames, compare its graphs with PyTorch, and write the bundle in one step.

    Args:
        model: with a latent.
        bundle: folder to write.
        opset: of the graphs.
        overwrite: replace a bundle that is there.
        progress: told of each stage.

    Returns:
        The bundle, opened; its variant holds what was measured.

    Raises:
        UserError: a package is missing, the model has no latent or a part that no graph is written for, the graphs
            deviate from PyTorch by more than `seqvae.export.frames_verify.ERROR`, or the folder cannot be
            written. Nothing is written then.
    """
    tell = progress or _silent
    with BundleWriter(Path(bundle), overwrite=overwrite) as writer:
        tell("exporting the networks", 0.05)
        made_of = FramesIngredients(
            parts=export_frames_parts(model.model, opset=opset),
            facts=facts_of_frames(model.features, model.longest, model.info),
            latent=model.model.need_latent().dimension,
            labels=tuple(model.labels) if model.conditional else (),
            opset=opset,
            metadata={"seqvae.precision": VARIANTS[VARIANT][0]},
        )
        tell("building the graphs", 0.6)
        graphs = build_frames_graphs(made_of)
        folder = writer.folder(VARIANT)
        onnx.save(graphs.pop(MODEL), folder / f"{MODEL}.onnx")
        save_parts(graphs, folder)
        tell("comparing with PyTorch", 0.7)
        cases = compared_cases(model)
        report = verify_frames(model, folder, cases)
        refuse_failures(VARIANT, report)
        tell("writing the bundle", 0.95)
        golden = [
            GoldenSequence(c.name, c.frames, c.label, c.target, c.options, {VARIANT: written})
            for c, written in zip(cases, report.written, strict=True)
        ]
        writer.write_sequences(golden)
        manifest = _manifest(model, made_of, report, (MODEL, *graphs), len(cases))
        writer.write_readme(frames_readme(manifest))
        opened = writer.publish(manifest)
    tell("done", 1.0)
    return opened


def _manifest(
    model: FramesModel,
    made_of: FramesIngredients,
    report: FramesReport,
    parts: tuple[str, ...],
    cases: int,
) -> Manifest:
    precision, provider, _ = VARIANTS[VARIANT]
    verify = {**report.figures, "sequences": cases, **runtime_facts()}
    return Manifest(
        version=seqvae.__version__,
        kind="frames",
        tasks=TASKS,
        latent=made_of.latent,
        opset=made_of.opset,
        labels=tuple(made_of.labels),
        options=FRAMES_OPTIONS,
        default_variant=VARIANT,
        variants={
            VARIANT: Variant(precision, provider, parts, int(report.figures["bytes"]), verify)
        },
        source=source_of(model.info),
        frames=made_of.facts,
    )


def _silent(stage: str, part: float) -> None:
    """Progress that nobody is told of."""
