"""Small models and their graphs, exported once for all tests: torch's exporter takes seconds for each."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch

from seqvae.data.text import EOS, Tokenizer, train_tokenizer
from seqvae.export.graphs import extensions_library
from seqvae.export.parts import export_parts
from seqvae.export.tokenizer import Tier, export_tokenizer
from seqvae.export.whole import Ingredients
from seqvae.export.whole_choices import export_choices
from seqvae.model import SequenceVAE
from seqvae.tasks.text_model import TextModel
from tests.tiny import LATENT, MAX_LENGTH, tiny_model

Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["transformer", "gru", "language"]
BEAM_SIZE = 3
LINES = (
    "the quick brown fox jumps over the lazy dog .",
    "how much wood would a woodchuck chuck ?",
    "été , 日本 , 12 345 and so on !",
)


@functools.cache
def characters() -> Tokenizer:
    """A character model without bytes: what it does not know is unknown."""
    model = train_tokenizer(
        list(LINES) * 5,
        vocab_size=100,
        model_type="char",
        byte_fallback=False,
        character_coverage=1.0,
    )
    return Tokenizer(model)


@functools.cache
def lively(kind: Kind) -> SequenceVAE:
    """A model over `characters` that ends its texts at many lengths, and says different things."""
    decoder = "gru" if kind == "gru" else "transformer"
    model = tiny_model(decoder, latent=kind != "language", vocabulary=characters().vocab_size)
    louder, end = (1.0, 2.5) if kind == "gru" else (2.0, 1.5)
    with torch.no_grad():
        for name, parameter in model.decoder.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(louder * (3.0 if "down" in name or "weight_hh" in name else 1.0))
        token_embedding = model.likelihood.get_parameter("embedding.weight")
        token_embedding[EOS] *= end
    return model


@functools.cache
def text_model(kind: Kind = "transformer") -> TextModel:
    """`lively` with its tokenizer; texts that are too long are cropped."""
    return TextModel(lively(kind), characters(), crop=True)


@functools.cache
def parts(kind: Kind, opset: int = 20) -> "dict[str, onnx.ModelProto]":
    """Of `lively`."""
    return export_parts(lively(kind), opset=opset)


@functools.cache
def choices(opset: int, latent: int) -> "dict[str, onnx.ModelProto]":
    """For `lively`."""
    return export_choices(characters().vocab_size, latent, BEAM_SIZE, opset=opset)


def ingredients(kind: Kind, tier: Tier = "ids", opset: int = 20) -> Ingredients:
    """For the whole graphs of `lively`."""
    tokenizer = export_tokenizer(characters(), tier, max_length=MAX_LENGTH, opset=opset)
    # Those of a model with a latent serve a language model, too.
    made = choices(opset, 0 if kind == "language" and opset != 20 else LATENT)
    return Ingredients(parts(kind, opset), made, BEAM_SIZE, MAX_LENGTH, tokenizer)


class Session:
    """A graph in ONNX Runtime, one thread."""

    def __init__(self, model: onnx.ModelProto, *, extensions: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        if extensions:
            options.register_custom_ops_library(extensions_library())
        self.session: Any = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [value.name for value in self.session.get_outputs()]

    def __call__(self, **feeds: Array | list[str]) -> Mapping[str, Array]:
        """All outputs by name."""
        given = {n: np.array(v, object) if isinstance(v, list) else v for n, v in feeds.items()}
        return dict(zip(self.outputs, self.session.run(None, given), strict=True))
