"""The files of one variant: parts in its precision, the whole graphs made of them, tokenizer graphs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqvae.export.bundle_manifest import MODEL
from seqvae.export.half import halve, store_half
from seqvae.export.parts import export_parts
from seqvae.export.quantize import Recipe, quantize_int8
from seqvae.export.tokenizer import Tier, export_tokenizer
from seqvae.export.weights import save_parts
from seqvae.export.whole import Ingredients, build_generate, build_model
from seqvae.export.whole_choices import export_choices
from seqvae.tasks.text_model import TextModel

if TYPE_CHECKING:
    import onnx

    Graphs = dict[str, onnx.ModelProto]


@dataclass(frozen=True)
class Settings:
    """What all variants of a bundle share.

    Attributes:
        tokenizer: tier, one of `seqvae.export.bundle_manifest.TIERS`.
        opset: version of ONNX's operators.
        beam_size: hypotheses of beam search.
    """

    tokenizer: Tier = "sentencepiece"
    opset: int = 20
    beam_size: int = 4


@dataclass(frozen=True)
class Source:
    """What every variant is made from, in float32.

    Attributes:
        parts: see `seqvae.export.parts`.
        choices: see `seqvae.export.whole_choices`.
        tokenizer: tokenizer and detokenizer, or nothing.
        max_length: longest sequence in tokens, start and end included.
        vocabulary: number of pieces.
    """

    parts: "Graphs"
    choices: "Graphs"
    tokenizer: "Graphs"
    max_length: int
    vocabulary: int


def export_source(model: TextModel, settings: Settings) -> Source:
    """Export what all variants are made from, once.

    Raises:
        UserError: a setting is out of range, or the model has a part that no graph is written for.
    """
    latent, max_length = model.model.latent, model.max_pieces + 2
    return Source(
        parts=export_parts(model.model, opset=settings.opset),
        choices=export_choices(
            model.tokenizer.vocab_size,
            0 if latent is None else latent.dimension,
            settings.beam_size,
            opset=settings.opset,
        ),
        tokenizer=export_tokenizer(
            model.tokenizer, settings.tokenizer, max_length=max_length, opset=settings.opset
        ),
        max_length=max_length,
        vocabulary=model.tokenizer.vocab_size,
    )


def write_variant(
    folder: Path, source: Source, precision: str, settings: Settings, *, recipe: Recipe = "rows"
) -> tuple[str, ...]:
    """Write all graphs of a variant, in the place of those that are there.

    Args:
        folder: for this variant alone.
        source: the graphs in float32.
        precision: fp32, int8 or fp16.
        settings: of the bundle.
        recipe: of int8.

    Returns:
        Names of the parts, `model` first.

    Raises:
        UserError: the weights do not fit the precision.
    """
    import onnx

    parts = {
        name: _smaller(name, part, source.vocabulary, precision, recipe)
        for name, part in source.parts.items()
    }
    made_of = Ingredients(
        parts=parts,
        choices=source.choices,
        beam_size=settings.beam_size,
        max_length=source.max_length,
        tokenizer=source.tokenizer,
        metadata={"seqvae.precision": precision},
    )
    onnx.save(build_model(made_of), folder / f"{MODEL}.onnx")
    beside = {**parts, "generate": build_generate(made_of), **source.tokenizer}
    save_parts(beside, folder)
    return (MODEL, *beside)


def _smaller(
    name: str, part: "onnx.ModelProto", vocabulary: int, precision: str, recipe: Recipe
) -> "onnx.ModelProto":
    """A part in a precision."""
    if precision == "fp32" or name in ("prior", "density"):
        # Scores are differences of densities, and what the prior holds is small.
        return part
    if precision == "fp16":
        return halve(part, vocabulary)
    if recipe != "rows" and name == "start":
        # It runs once a text and holds a tenth of the weights, but its error is in every step.
        return store_half(part, vocabulary)
    return quantize_int8(part, vocabulary, recipe)
