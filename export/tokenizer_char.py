"""The tokenizer of a character model with plain operators: runs where there is no onnxruntime-extensions.

A character model has one piece for each character, so a text is looked up character by character. Where
the normaliser of the tokenizer changes a character by itself, the table holds what it becomes: capitals
where case is folded, wide letters, ligatures, control characters, every kind of space. Runs of spaces
become one, and spaces at the ends go, where the tokenizer does so.

The ids are those of `seqvae.data.text.Tokenizer`, but for

- characters that a normaliser changes only together, such as a letter and an accent behind it: text
  should come composed (NFC);
- characters whose normal form has more than four characters: they are unknown;
- unknown characters, where the tokenizer has pieces for bytes: they are unknown here too, and bytes
  that a model writes are only read as ASCII, all others as U+FFFD.
"""

import re
import sys
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from seqvae.data.text import EOS, SPECIAL, UNK, Tokenizer
from seqvae.errors import UserError
from seqvae.export.stitch import Scope, State
from seqvae.export.tokenizer_rows import (
    DROPPED,
    finish_reading,
    finish_writing,
    kept_tokens,
    read_rows,
    reading_scope,
    writing_scope,
)

if TYPE_CHECKING:
    import onnx

SPACE = "\u2581"
"""The piece for a space."""
LONGEST = 4
"""Most characters of the normal form of one character."""
FIRST_OPSET = 20
"""The first with StringConcat."""
_ML, _ML_VERSION = "ai.onnx.ml", 3
_NOTHING = -1
_UNKNOWN_TEXT = " \u2047 "
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# A character that joins no other.
_NEUTRAL = "!"
_NO_TEXT = ("Cn", "Co", "Cs")  # unassigned, private, halves of pairs
_INT64, _STRING = 7, 8  # ONNX's numbers of element types


class CharacterTokenizer:
    """Makes the graphs.

    Args:
        tokenizer: a character model.
        opset: version of ONNX's operators.

    Raises:
        UserError: a piece has several characters, or the opset has no operators for texts.
    """

    def __init__(self, tokenizer: Tokenizer, opset: int) -> None:
        if opset < FIRST_OPSET:
            raise UserError(
                f"tokenizer char needs opset {FIRST_OPSET} or later, not {opset}; raise --opset, "
                "or choose --tokenizer sentencepiece or ids"
            )
        self.opset = opset
        self._pieces = tokenizer.pieces(range(tokenizer.vocab_size))
        self._ids = {p: i for i, p in enumerate(self._pieces) if i >= len(SPECIAL)}
        long = [p for p in self._ids if len(p) > 1 and not _BYTE.fullmatch(p)]
        if long:
            raise UserError(
                f"tokenizer char needs a character model, and {len(long)} pieces such as "
                f"{long[0]!r} have several characters; prepare the corpus with --model-type char, "
                "or choose --tokenizer sentencepiece or ids"
            )
        self._space = self._ids.get(SPACE, UNK)
        self._squeezes = tokenizer.normalise("!  !") == "! !"
        self._prefixes = tokenizer.encode(_NEUTRAL)[:1] == [self._space]
        self._tables = self._look_up(tokenizer)

    def _look_up(self, tokenizer: Tokenizer) -> list[dict[str, int]]:
        """The first id of each character, the second of those that become two, and so on."""
        tables: list[dict[str, int]] = [{} for _ in range(LONGEST)]
        for char in map(chr, range(1, sys.maxunicode + 1)):
            if unicodedata.category(char) in _NO_TEXT:
                continue
            normal = tokenizer.normalise(_NEUTRAL + char + _NEUTRAL)[1:-1].replace(" ", SPACE)
            ids = [self._ids.get(part, UNK) for part in normal] or [_NOTHING]
            if ids == [UNK] or len(ids) > LONGEST:
                continue
            for table, number in zip(tables, ids, strict=False):
                table[char] = number
        return [table for table in tables if table]

    def tokenizer(self, max_length: int) -> "onnx.ModelProto":
        """The graph `tokenizer`.

        Args:
            max_length: longest sequence that the model reads, start and end tokens included.
        """
        scope = reading_scope(self.opset)
        # A space before each text is the one that sentencepiece begins with; and with a row more
        # there is a text that is not empty, without which the next operator drops an axis.
        texts = scope.add("Concat", "text", scope.constant(["!"], np.object_), axis=0)
        texts = scope.add("StringConcat", scope.constant([" "], np.object_), texts)
        characters = scope.add(
            "Tokenizer",
            texts,
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="<pad>",
            separators=[""],
        )
        scope.declare(characters, _STRING, 2)
        each = [
            self._label(scope, characters, table, _NOTHING if place else UNK)
            for place, table in enumerate(self._tables)
        ]
        labels = each[0]
        if len(each) > 1:
            last = scope.constant([-1])
            deep = [scope.add("Unsqueeze", label, last) for label in each]
            labels = scope.add(
                "Reshape", scope.add("Concat", *deep, axis=2), scope.constant([0, -1])
            )
        something = scope.add("Greater", labels, scope.constant(_NOTHING, np.int64))
        labels = _pack(scope, labels, something)
        labels = _pack(scope, labels, self._wanted(scope, labels))
        labels = scope.add("Slice", labels, *(scope.constant([i]) for i in (0, -1, 0)))
        something = scope.add("Greater", labels, scope.constant(_NOTHING, np.int64))
        count = _sum(scope, something)
        width = scope.add("Squeeze", scope.add("Shape", labels, start=1, end=2), _at(scope, 0))

        def piece(number: str, _: str) -> str:
            end = scope.add("Sub", width, scope.constant(1, np.int64))
            place = scope.add("Max", number, scope.constant(0, np.int64))
            return scope.add("Gather", labels, scope.add("Min", place, end), axis=1)

        return finish_reading(scope, read_rows(scope, count, piece, max_length))

    def _label(self, scope: Scope, characters: str, table: dict[str, int], other: int) -> str:
        keys = ["<pad>", *table]
        values = [_NOTHING, *table.values()]
        return scope.add(
            "LabelEncoder",
            characters,
            keys_strings=keys,
            values_int64s=values,
            default_int64=other,
            domain=_ML,
            version=_ML_VERSION,
        )

    def _wanted(self, scope: Scope, labels: str) -> str:
        """Which labels [B, T] remain: no space beside a space or at an end, no unknown beside one."""

        def equal(value: str, number: int) -> str:
            return scope.add("Equal", value, scope.constant(number, np.int64))

        def after_itself(number: int) -> str:
            return scope.add("And", equal(labels, number), equal(before, number))

        pads = scope.constant([0, 1, 0, -1])
        before = scope.add("Pad", labels, pads, scope.constant(_NOTHING, np.int64))
        something = scope.add("Greater", labels, scope.constant(_NOTHING, np.int64))
        number = scope.add("CumSum", scope.add("Cast", something, to=_INT64), _scalar(scope, 1))
        wanted = scope.add("And", something, scope.add("Not", after_itself(UNK)))
        if self._squeezes:
            wanted = scope.add("And", wanted, scope.add("Not", after_itself(self._space)))
            word = scope.add("And", something, scope.add("Not", equal(labels, self._space)))
            last = scope.add("Where", word, number, _scalar(scope, 0))
            end = scope.add("ReduceMax", last, scope.constant([1]), keepdims=1)
        else:  # nothing but the space in front is no text
            end = scope.add("ReduceMax", number, scope.constant([1]), keepdims=1)
            alone = scope.add("Equal", end, _scalar(scope, 1))
            end = scope.add("Where", alone, _scalar(scope, 0), end)
        wanted = scope.add("And", wanted, scope.add("LessOrEqual", number, end))
        if not self._prefixes:
            wanted = scope.add("And", wanted, scope.add("Greater", number, _scalar(scope, 1)))
        return wanted

    def detokenizer(self) -> "onnx.ModelProto":
        """The graph `detokenizer`."""
        scope = writing_scope(self.opset)
        kept = kept_tokens(scope, "ids")
        space = scope.add("Equal", "ids", scope.constant(self._space, np.int64))
        if self._squeezes:  # no space before the first character
            begun = _running(scope, scope.add("And", kept, scope.add("Not", space)))
            leading = scope.add("Equal", begun, _scalar(scope, 0))
            kept = scope.add("And", kept, scope.add("Not", scope.add("And", space, leading)))
        elif self._prefixes:  # not the space that sentencepiece begins with
            first = scope.add("Equal", _running(scope, kept), _scalar(scope, 1))
            kept = scope.add("And", kept, scope.add("Not", scope.add("And", space, first)))
        shown = scope.add("Where", kept, "ids", scope.constant(_NOTHING, np.int64))
        texts = {i: self._text(i) for i in range(len(self._pieces))}
        texts = {i: text for i, text in texts.items() if text}
        columns = scope.add(
            "LabelEncoder",
            shown,
            keys_int64s=list(texts),
            values_strings=list(texts.values()),
            default_string="",
            domain=_ML,
            version=_ML_VERSION,
        )
        rows = scope.add("Shape", "ids", start=0, end=1)
        empty = scope.add("Expand", scope.constant([""], np.object_), rows)
        width = scope.add("Squeeze", scope.add("Shape", "ids", start=1, end=2), _at(scope, 0))

        def append(inner: Scope, column: str, now: State) -> tuple[str, State, list[str]]:
            more = inner.add("Gather", columns, column, axis=1)
            return inner.constant(True), {"text": inner.add("StringConcat", now["text"], more)}, []

        done, _ = scope.loop(width, scope.constant(True), {"text": empty}, append)
        return finish_writing(scope, done["text"])

    def _text(self, number: int) -> str:
        if number in (*DROPPED, EOS):
            return ""
        if number == UNK:
            return _UNKNOWN_TEXT
        byte = _BYTE.fullmatch(self._pieces[number])
        if byte:
            value = int(byte[1], 16)
            return chr(value) if value < 128 else "\ufffd"
        return self._pieces[number].replace(SPACE, " ")


def _pack(scope: Scope, labels: str, wanted: str) -> str:
    """Wanted labels of each row [B, T] moved to its beginning, `_NOTHING` behind them."""
    shape = scope.add("Shape", labels)
    width = scope.add("Shape", labels, start=1, end=2)
    # What is not wanted goes to a column more, which is cut off.
    place = scope.add("Sub", _running(scope, wanted), _scalar(scope, 1))
    place = scope.add("Where", wanted, place, width)
    wider = scope.add("Add", shape, scope.constant([0, 1]))
    space = scope.add("Expand", scope.constant(_NOTHING, np.int64), wider)
    packed = scope.add("ScatterElements", space, place, labels, axis=1)
    return scope.add("Slice", packed, *(scope.constant([i]) for i in (0, -1, 1)))


def _running(scope: Scope, mask: str) -> str:
    """How many are true up to each element of a row, int64 [B, T]."""
    return scope.add("CumSum", scope.add("Cast", mask, to=_INT64), _scalar(scope, 1))


def _sum(scope: Scope, mask: str) -> str:
    """How many are true in each row [B, T], int64 [B]."""
    return scope.add("ReduceSum", scope.add("Cast", mask, to=_INT64), _at(scope, 1), keepdims=0)


def _scalar(scope: Scope, value: int) -> str:
    return scope.constant(value, np.int64)


def _at(scope: Scope, axis: int) -> str:
    return scope.constant([axis])
