"""What the tokenizer graphs of all tiers share: rows of pieces to ids, and which ids are text."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from seqvae.data.text import BLANK, BOS, EOS, PAD
from seqvae.export.stitch import Scope, State

if TYPE_CHECKING:
    import onnx

DROPPED = (PAD, BOS, BLANK)
"""Tokens that stand for no text."""
_INT32, _INT64, _STRING = 6, 7, 8  # ONNX's numbers of element types


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
