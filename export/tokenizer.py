"""Text to ids and ids to text as graphs: what `seqvae.data.text.Tokenizer` does, in three tiers.

    tokenizer     text string [B] -> ids int64 [B, T], lengths int64 [B]
    detokenizer   ids int64 [B, T] -> text string [B]

`ids` begin with the start token and end with the end token, zeros behind it; of a text that is too
long the beginning is read. The text ends before the first end token; padding, start and blank tokens
are left out.

sentencepiece: any tokenizer, with the operators of onnxruntime-extensions. The same ids and texts as in
    Python, but for U+0000, which ends a text here.
char: character models, with plain operators; see `seqvae.export.tokenizer_char`.
ids: no graphs; ids go in and out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from seqvae.data.text import BLANK, BOS, EOS, PAD, Tokenizer
from seqvae.export.onnx_export import check_opset
from seqvae.export.stitch import Scope, State

if TYPE_CHECKING:
    import onnx

Tier = Literal["sentencepiece", "char", "ids"]
EXTENSIONS = "ai.onnx.contrib"
"""Domain of the operators of onnxruntime-extensions."""
DROPPED = (PAD, BOS, BLANK)
"""Tokens that stand for no text."""
_INT32, _INT64, _STRING, _BOOL = 6, 7, 8, 9  # ONNX's numbers of element types


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
        from seqvae.export.tokenizer_char import CharacterTokenizer

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


def read_rows(
    scope: Scope,
    count: str,
    piece: Callable[[str, str], str],
    max_length: int,
) -> State:
    """`ids` and `lengths` of rows of pieces: cropped, with start and end tokens, padded.

    Args:
        scope: gets the nodes.
        count: pieces of each row, int64 [B].
        piece: is given numbers of pieces [T] and whether a row has such a piece, bool [B, T]; returns
            the pieces, int64 [B, T].
        max_length: most tokens of a row.
    """
    zero, one, two = (scope.constant(i, np.int64) for i in (0, 1, 2))
    kept = scope.add("Min", count, scope.constant(max_length - 2, np.int64))
    lengths = scope.add("Add", kept, two)
    # Two tokens where there is no row at all.
    longest = scope.add("Concat", lengths, scope.constant([2]), axis=0)
    width = scope.add("ReduceMax", longest, keepdims=0)
    number = scope.add("Sub", scope.add("Range", zero, width, one), one)
    end = scope.add("Unsqueeze", kept, scope.constant([1]))
    begun = scope.add("Greater", number, scope.constant(-1, np.int64))
    inside = scope.add("And", begun, scope.add("Less", number, end))
    ids = scope.add("Where", inside, piece(number, inside), scope.constant(PAD, np.int64))
    at_end = scope.add("Equal", number, end)
    ids = scope.add("Where", at_end, scope.constant(EOS, np.int64), ids)
    ids = scope.add("Where", begun, ids, scope.constant(BOS, np.int64))
    return {"ids": ids, "lengths": lengths}


def reading_scope(opset: int) -> Scope:
    """A scope for a graph `tokenizer`."""
    scope = Scope(opset)
    scope.reserve(["text", "ids", "lengths"])
    return scope


def finish_reading(scope: Scope, made: State) -> "onnx.ModelProto":
    """The graph `tokenizer`."""
    from onnx import helper

    for name, value in made.items():
        scope.rename(value, name)
    return scope.model(
        [helper.make_tensor_value_info("text", _STRING, ["B"])],
        [
            helper.make_tensor_value_info("ids", _INT64, ["B", "T"]),
            helper.make_tensor_value_info("lengths", _INT64, ["B"]),
        ],
    )


def kept_tokens(scope: Scope, ids: str) -> str:
    """Which tokens [B, T] are before the end and stand for text, bool [B, T]."""
    ends = scope.add("Cast", scope.add("Equal", ids, scope.constant(EOS, np.int64)), to=_INT32)
    ended = scope.add("CumSum", ends, scope.constant(1, np.int64))
    kept = scope.add("Less", ended, scope.constant(1, np.int32))
    for token in DROPPED:
        other = scope.add("Not", scope.add("Equal", ids, scope.constant(token, np.int64)))
        kept = scope.add("And", kept, other)
    return kept


def writing_scope(opset: int) -> Scope:
    """A scope for a graph `detokenizer`."""
    scope = Scope(opset)
    scope.reserve(["ids", "text"])
    return scope


def finish_writing(scope: Scope, text: str) -> "onnx.ModelProto":
    """The graph `detokenizer`."""
    from onnx import helper

    scope.rename(text, "text")
    return scope.model(
        [helper.make_tensor_value_info("ids", _INT64, ["B", "T"])],
        [helper.make_tensor_value_info("text", _STRING, ["B"])],
    )


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
