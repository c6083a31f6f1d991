"""What an ONNX file refers to outside itself, read from its bytes before any runtime opens it.

A model may name files to read its weights from, an operator may name a library, a cache file or a
network service. ONNX Runtime follows such names while it loads, so they are checked here first, with
no package but the standard library: the protobuf wire format is walked
(https://protobuf.dev/programming-guides/encoding/), and whatever the walk cannot read is refused.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seqvae.errors import UserError

WEIGHTS = "parts.data"
"""The one file beside a graph that its weights may lie in."""
MAX_DEPTH = 32
"""Graphs within graphs (Loop and If bodies); ours have three."""
MAX_FIELDS = 5_000_000
"""Fields read, about three seconds of work; ours have fewer than 100,000."""

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
# onnxruntime-extensions also holds operators that open files and call network services.
_EXTENSIONS = "ai.onnx.contrib"
_EXTENSION_OPERATORS = ("SentencepieceTokenizer", "SentencepieceDecoder")
# Loads a compiled model from a file that the node names.
_REFUSED = ("EPContext",)

# Message -> field number -> the message in it. What is not listed is skipped.
_MESSAGES = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    """One field of a message: where its content lies when it is bytes."""

    number: int
    is_bytes: bool
    start: int
    end: int


def check_graph(path: Path) -> bool:
    """Refuse an ONNX file that makes a runtime read anything but itself and `WEIGHTS`.

    Args:
        path: the file, of any size: it is mapped and weights are stepped over.

    Returns:
        Whether it needs `WEIGHTS` beside it.

    Raises:
        UserError: weights elsewhere (a path, a link, an address in memory), an operator that is
            not one of ours, nesting or size beyond the limits, or not a well-formed file.
    """
    with path.open("rb") as stream:
        try:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise _refusal(path, "it is empty") from None
        with content:
            return _Walk(path, content).run()


class _Walk:
    """One pass over one file, without recursion: nesting cannot exhaust the stack."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.path, self.content = path, content
        self.fields_left = MAX_FIELDS
        self.needs_weights = False
        self.has_graph = False

    def run(self) -> bool:
        pending = [("Model", 0, len(self.content), 0)]
        while pending:
            message, start, end, depth = pending.pop()
            if depth > MAX_DEPTH:
                raise _refusal(self.path, f"its graphs are nested more than {MAX_DEPTH} deep")
            inner = _MESSAGES[message]
            texts: dict[int, bytes] = {}
            for field in self._fields(start, end):
                if field.number in inner and field.is_bytes:
                    child = inner[field.number]
                    deeper = depth + (child == "Graph")
                    pending.append((child, field.start, field.end, deeper))
                elif message in ("Node", "Entry") and field.is_bytes:
                    # As protobuf does: of a field that comes twice the last one counts.
                    texts[field.number] = self.content[
                        field.start : min(field.end, field.start + 256)
                    ]
            if message == "Graph":
                self.has_graph = True
            elif message == "Node":
                self._check_node(_text(texts.get(7)), _text(texts.get(4)))
            elif message == "Entry":
                self._check_entry(_text(texts.get(1)), _text(texts.get(2)))
        if not self.has_graph:
            raise _refusal(self.path, "it holds no graph")
        return self.needs_weights

    def _check_node(self, domain: str, operator: str) -> None:
        known = domain in _DOMAINS and operator not in _REFUSED
        if not known and not (domain == _EXTENSIONS and operator in _EXTENSION_OPERATORS):
            raise _refusal(
                self.path, f"it has the operator {domain}:{operator}, which no bundle needs"
            )

    def _check_entry(self, key: str, value: str) -> None:
        if key == "location":
            if value != WEIGHTS:
                raise _refusal(
                    self.path, f"its weights are to be read from {value!r}, not from {WEIGHTS!r}"
                )
            self.needs_weights = True

    def _fields(self, position: int, end: int) -> Iterator[_Field]:
        while position < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                raise _refusal(self.path, f"it has more than {MAX_FIELDS:,} fields")
            tag, position = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            start = position
            if kind == _VARINT:
                _, position = self._varint(position, end)
            elif kind == _BYTES:
                length, start = self._varint(position, end)
                position = start + length
            elif kind in (_FIXED32, _FIXED64):
                position += 4 if kind == _FIXED32 else 8
            else:  # groups are not part of ONNX
                raise _refusal(self.path, f"byte {start}: wire type {kind}; it is damaged")
            if position > end or not 0 < number < 1 << 29:
                raise _refusal(self.path, f"byte {start}: field {number} ends outside its message")
            yield _Field(number, kind == _BYTES, start, position)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        content, value = self.content, 0
        if position < end and content[position] < 0x80:  # almost every one
            return content[position], position + 1
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise _refusal(self.path, f"byte {position}: a number does not end; it is damaged")


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")


def _refusal(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: not a graph of a bundle: {reason}; export the bundle again")
