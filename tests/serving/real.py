"""Bundles of the tiny models, exported for real."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqvae.data.text import Tokenizer
from seqvae.export.bundle import Bundle, GoldenRow
from seqvae.export.bundle_manifest import MODEL, VARIANTS, Variant
from seqvae.export.bundle_writer import BundleWriter
from seqvae.export.golden import make_cases, write_with_torch
from seqvae.tasks.text_model import TextModel
from tests.serving.torch_graphs import BEAM_SIZE, manifest_of

NAME = "cpu-fp32"


@dataclass(frozen=True)
class Exported:
    """The graphs of a model, from which bundles of several tiers can be written.

    Attributes:
        model: in PyTorch.
        parts: see `seqvae.export.parts`.
        choices: see `seqvae.export.whole_choices`; those of a model with a latent do for a language
            model of the same vocabulary.
    """

    model: TextModel
    parts: Mapping[str, Any]
    choices: Mapping[str, Any]


def export(model: TextModel, choices: Mapping[str, Any] | None = None) -> Exported:
    """Export a model; seconds."""
    from seqvae.export.parts import export_parts
    from seqvae.export.whole_choices import export_choices

    latent = model.model.latent
    size = 0 if latent is None else latent.dimension
    made = choices or export_choices(model.tokenizer.vocab_size, size, BEAM_SIZE)
    return Exported(model, export_parts(model.model), made)


def write(exported: Exported, folder: Path, tier: str = "sentencepiece") -> Bundle:
    """Write a bundle, its golden rows those of PyTorch."""
    import onnx

    from seqvae.export.tokenizer import export_tokenizer
    from seqvae.export.whole import Ingredients, build_generate, build_model

    model = exported.model
    tokenizer: Tokenizer = model.tokenizer
    limit = model.max_pieces + 2
    texts = export_tokenizer(tokenizer, tier, max_length=limit)  # type: ignore[arg-type]
    whole = Ingredients(exported.parts, exported.choices, BEAM_SIZE, limit, texts)
    graphs = {MODEL: build_model(whole), "generate": build_generate(whole)}
    graphs |= {**exported.parts, **texts}
    cases = make_cases(model, [])
    truth = write_with_torch(model, cases, BEAM_SIZE)
    with BundleWriter(folder) as writer:
        for name, graph in graphs.items():
            onnx.save(graph, writer.folder(NAME) / f"{name}.onnx")
        writer.write_tokenizer(tokenizer.model, tokenizer.pieces(range(tokenizer.vocab_size)))
        writer.write_golden(
            [
                # The operators of onnxruntime-extensions end a text at U+0000.
                GoldenRow(c.name, c.text, c.options, {NAME: replace(w, text=shown(w.text))})
                for c, w in zip(cases, truth, strict=True)
            ]
        )
        writer.write_readme("# Tiny\n")
        variant = Variant(*VARIANTS[NAME][:2], tuple(graphs), 1, {})
        return writer.publish(replace(manifest_of(model, tier), variants={NAME: variant}))


def shown(text: str) -> str:
    """What the graphs give of a text: U+0000 ends it there."""
    return text.split("\0")[0]
