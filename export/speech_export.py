"""A trained speech run to a bundle: graphs compared with PyTorch, or nothing."""

from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor

import seqvae
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import MODEL, SPEECH_OPTIONS, VARIANTS, Manifest, Variant
from seqvae.export.bundle_sounds import GoldenSound
from seqvae.export.bundle_speech import SpeechFacts
from seqvae.export.bundle_writer import BundleWriter
from seqvae.export.export import Progress
from seqvae.export.graphs import need_packages
from seqvae.export.source import runtime_facts, source_of
from seqvae.export.speech_golden import compared_cases, golden_cases
from seqvae.export.speech_graph import SpeechIngredients
from seqvae.export.speech_parts import condition_size, export_speech_parts, voice_vector
from seqvae.export.speech_readme import speech_readme
from seqvae.export.speech_verify import SpeechReport, refuse_failures, verify_speech
from seqvae.export.speech_vocoder import export_vocoder
from seqvae.export.speech_whole import build_speech_graphs
from seqvae.export.weights import save_parts
from seqvae.latent import CONTENT
from seqvae.priors.hierarchical import HierarchicalPrior
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.voice import Voice
from seqvae.training.load import load_speech
from seqvae.vocoders.folder import load_vocoder

VARIANT = "cpu-fp32"
"""The one variant of a speech bundle; it runs on GPUs too."""
UNNAMED = "average"
"""The voice of a bundle whose run can name none: what the prior expects."""


def export_speech_run(
    run: str | Path,
    bundle: str | Path,
    *,
    opset: int = 20,
    which: Literal["best", "last"] = "best",
    vocoder: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a speech run with its vocoder; see `export_speech`.

    Args:
        run: folder that `seqvae train` wrote.
        bundle: folder to write.
        opset: of the graphs.
        which: the best or the last weights.
        vocoder: folder written by `seqvae vocoder`; by default the run's own, or Griffin-Lim.
        overwrite: replace a bundle that is there.
        progress: told of each stage.
    """
    need_packages("ids")
    (progress or _silent)("loading the run", 0.0)
    model = load_speech(run, which)
    if vocoder is not None:
        model.use_vocoder(load_vocoder(vocoder, model.settings))
    return export_speech(model, bundle, opset=opset, overwrite=overwrite, progress=progress)


def export_speech(
    model: SpeechModel,
    bundle: str | Path,
    *,
    opset: int = 20,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a speech model, compare its graphs with PyTorch, and write the bundle in one step.

    Args:
        model: with the vocoder that shall be in the graphs.
        bundle: folder to write.
        opset: of the graphs.
        overwrite: replace a bundle that is there.
        progress: told of each stage.

    Returns:
        The bundle, opened; its variant holds what was measured.

    Raises:
        UserError: a package is missing, the model has a part that no graph is written for, the graphs
            deviate from PyTorch by more than the limits of `seqvae.export.speech_verify`, or the
            folder cannot be written. Nothing is written then.
    """
    tell = progress or _silent
    voices = voices_of(model)
    with BundleWriter(Path(bundle), overwrite=overwrite) as writer:
        tell("exporting the networks", 0.05)
        parts = export_speech_parts(model, opset=opset)
        tell("exporting the vocoder", 0.25)
        made_of = SpeechIngredients(
            parts=parts,
            vocoder=export_vocoder(model.vocoder, opset=opset),
            facts=speech_facts(model),
            content=model.model.levels[CONTENT].dimension,
            voices={name: vector.numpy() for name, vector in voices.items()},
            style_variance=_style_variance(model),
            opset=opset,
            metadata={"seqvae.precision": VARIANTS[VARIANT][0]},
        )
        tell("building the graphs", 0.45)
        graphs = build_speech_graphs(made_of)
        folder = writer.folder(VARIANT)
        onnx.save(graphs.pop(MODEL), folder / f"{MODEL}.onnx")
        save_parts(graphs, folder)
        tell("comparing with PyTorch", 0.5)
        cases = compared_cases(model, len(voices))
        report = verify_speech(model, folder, cases, list(voices.values()))
        refuse_failures(VARIANT, report)
        tell("writing the bundle", 0.95)
        kept = {id(case) for case in golden_cases(cases, model.settings.sample_rate)}
        golden = [
            GoldenSound(f"sound-{number}", case.samples, case.options, {VARIANT: written})
            for number, (case, written) in enumerate(zip(cases, report.written, strict=True))
            if id(case) in kept
        ]
        writer.write_voices({name: vector.numpy() for name, vector in voices.items()})
        writer.write_sounds(golden, model.settings.sample_rate)
        manifest = _manifest(model, made_of, report, (MODEL, *graphs), len(cases))
        writer.write_readme(speech_readme(manifest))
        opened = writer.publish(manifest)
    tell("done", 1.0)
    return opened


def voices_of(model: SpeechModel) -> dict[str, Tensor]:
    """The vector [C] of every voice that a bundle offers by name."""
    try:
        found = {name: voice_vector(model, model.voice(name)) for name in model.speakers}
    except UserError:
        # A style encoder's voices are heard in the corpus, which may be gone; it hears others.
        if not model.hears_voices:
            raise
        found = {}
    if not found:
        style = torch.zeros(model.model.need_latent().dimension)
        speaker = None if model.model.labels is None else 0
        found = {UNNAMED: voice_vector(model, Voice(UNNAMED, model.condition(style, speaker)))}
    return found


def speech_facts(model: SpeechModel) -> SpeechFacts:
    """What the manifest says of the model."""
    latent = model.model.latent
    prior = None if latent is None else latent.prior
    return SpeechFacts(
        mel=model.settings,
        stride=model.step // model.settings.hop,
        style=0 if latent is None else latent.dimension,
        condition=condition_size(model.model),
        pitch=model.model.pitch is not None,
        shrink=prior.variance if isinstance(prior, HierarchicalPrior) else 0.0,
        vocoder=type(model.vocoder).__name__.removesuffix("Vocoder"),
    )


def _style_variance(model: SpeechModel) -> float:
    latent = model.model.latent
    prior = None if latent is None else latent.prior
    return 1.0 + prior.variance if isinstance(prior, HierarchicalPrior) else 1.0


def _manifest(
    model: SpeechModel,
    made_of: SpeechIngredients,
    report: SpeechReport,
    parts: tuple[str, ...],
    cases: int,
) -> Manifest:
    precision, provider, _ = VARIANTS[VARIANT]
    verify = {**report.figures, "sounds": cases, **runtime_facts()}
    return Manifest(
        version=seqvae.__version__,
        kind="speech",
        tasks=("convert", "score"),
        latent=made_of.content,
        opset=made_of.opset,
        labels=tuple(made_of.voices),
        options=SPEECH_OPTIONS,
        default_variant=VARIANT,
        variants={
            VARIANT: Variant(precision, provider, parts, int(report.figures["bytes"]), verify)
        },
        source=source_of(model.info),
        speech=made_of.facts,
    )


def _silent(stage: str, part: float) -> None:
    """Progress that nobody is told of."""
