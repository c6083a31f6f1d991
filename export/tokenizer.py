"""Text to ids and ids to text as graphs: what `seqvae.data.text.Tokenizer` does, in three tiers.

    tokenizer     text string [B] -> ids int64 [B, T], lengths int64 [B]
    detokenizer   ids int64 [B, T] -> text string [B]

`ids` begin with the start token and end with the end token, zeros behind it; of a text that is too
long the beginning is read. The text ends before the first end token; padding, start and blank tokens
are left out.

sentencepiece: any tokenizer, with the operators of onnxruntime-extensions, which hold another build of
    sentencepiece. The same ids and texts as in Python, but U+0000 ends a text here, and where two
    segmentations are equally probable (runs of zeros, say) the other may be chosen.
char: character models, with plain operators; see `seqvae.export.tokenizer_char`.
ids: no graphs; ids go in and out.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from seqvae.data.text import PAD, Tokenizer
from seqvae.export.onnx_export import check_opset
from seqvae.export.stitch import Scope, State
from seqvae.export.tokenizer_char import CharacterTokenizer
from seqvae.export.tokenizer_rows import (
    finish_reading,
    finish_writing,
    kept_tokens,
    read_rows,
    reading_scope,
    writing_scope,
)

if TYPE_CHECKING:
    import onnx

Tier = Literal["sentencepiece", "char", "ids"]
EXTENSIONS = "ai.onnx.contrib"
"""Domain of the operators of onnxruntime-extensions."""
_INT64 = 7  # ONNX's number of this element type


def export_tokenizer(
    tokenizer: Tokenizer, tier: Tier, *, max_length: int, opset: int = 20
) -> "dict[str, onnx.ModelProto]":
    """The graphs `tokenizer` and `detokenizer`, or none for the tier `ids`.

    Args:
        tokenizer: of the model.
        tier: see the top of this file.
        max_length: longest sequence that the model reads, start and end tokens included.
        opset: version of ONNX's operators.

    Raises:
        UserError: the opset is not known, or the tier cannot do what the tokenizer does.
    """
    check_opset(opset)
    if tier == "ids":
        return {}
    if tier == "char":
        characters = CharacterTokenizer(tokenizer, opset)
        return {
            "tokenizer": characters.tokenizer(max_length),
            "detokenizer": characters.detokenizer(),
        }
    return {
        "tokenizer": _tokenizer(tokenizer, max_length, opset),
        "detokenizer": _detokenizer(tokenizer, opset),
    }


def _tokenizer(tokenizer: Tokenizer, max_length: int, opset: int) -> "onnx.ModelProto":
    scope = reading_scope(opset)
    # The fourth and fifth flags are for start and end tokens, and the order of those two is not that
    # of the documentation: both are left out, and put in below.
    off = scope.constant([False])
    pieces, bounds, _ = scope.add_many(
        "SentencepieceTokenizer",
        "text",
        scope.constant([0]),  # best segmentations wanted: none of them random
        scope.constant([1.0], np.float32),
        *(off, off, off),
        outputs=3,
        domain=EXTENSIONS,
        model=tokenizer.model,
    )
    first = scope.add("Slice", bounds, *(scope.constant([i]) for i in (0, -1)))
    last = scope.add("Slice", bounds, *(scope.constant([i]) for i in (1, np.iinfo(np.int64).max)))
    # Where all texts are empty there would be nothing to gather from.
    flat = scope.add("Concat", scope.add("Cast", pieces, to=_INT64), scope.constant([PAD]), axis=0)
    count = scope.add("Sub", last, first)

    def piece(column: str, inside: str) -> str:
        begin = scope.add("Unsqueeze", first, scope.constant([1]))
        place = scope.add("Where", inside, scope.add("Add", begin, column), scope.constant(0))
        return scope.add("Gather", flat, place)

    return finish_reading(scope, read_rows(scope, count, piece, max_length))


def _detokenizer(tokenizer: Tokenizer, opset: int) -> "onnx.ModelProto":
    scope = writing_scope(opset)
    kept = kept_tokens(scope, "ids")
    size = scope.add("Shape", "ids", start=0, end=1)

    # The operator takes one text at a time.
    def one(inner: Scope, row: str, _: State) -> tuple[str, State, list[str]]:
        ids, mask = (inner.add("Gather", value, row, axis=0) for value in ("ids", kept))
        wanted = inner.add("Compress", ids, mask, axis=0)
        text = inner.add("SentencepieceDecoder", wanted, domain=EXTENSIONS, model=tokenizer.model)
        return inner.constant(True), {}, [text]

    rows = scope.add("Squeeze", size, scope.constant([0]))
    _, (texts,) = scope.loop(rows, scope.constant(True), {}, one)
    return finish_writing(scope, scope.add("Reshape", texts, size))
