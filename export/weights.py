"""Several graphs in one folder with one file of weights, each weight in it once.

The parts of a model, and the graph stitched of them, hold mostly the same matrices. Written apart, the
folder would be several times as large, and a process that opens several graphs would read the matrices
from as many files. Equal inputs give equal bytes: nothing depends on the order of the parts, on time,
or on the machine.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seqvae.errors import UserError
from seqvae.export.bundle_graph import WEIGHTS

if TYPE_CHECKING:
    import onnx

SMALLEST = 4096
"""Bytes of the smallest tensor worth a place in the file: a page. Shapes and axes, which runtimes read
before they load weights, are smaller and stay in their graph."""
PAGE = 4096
"""Where a tensor may begin, so that Linux and macOS can map it."""
LARGE = 1 << 20
"""Bytes from which a tensor begins where Windows can map it too."""
GRANULARITY = 1 << 16
"""Windows maps files at multiples of this; for small tensors the gaps would outweigh the tensors."""


def save_parts(parts: "Mapping[str, onnx.ModelProto]", folder: Path) -> tuple[str, ...]:
    """Write every part as `<name>.onnx`, their large tensors together in `parts.data`.

    Args:
        parts: graphs by name, their weights inside; they are not changed.
        folder: existing files of these names are replaced.

    Returns:
        Names of the files, sorted; `parts.data` is among them if a tensor is large enough for it.

    Raises:
        UserError: a part's weights are not inside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with (folder / WEIGHTS).open("wb") as stream:
        store = _Store(stream)
        for name in sorted(parts):
            lean = _without_weights(parts[name], name, store)
            (folder / f"{name}.onnx").write_bytes(lean.SerializeToString(deterministic=True))
            files.append(f"{name}.onnx")
    if store.places:
        files.append(WEIGHTS)
    else:
        # No graph would refer to it, and a bundle has no file that nothing needs.
        (folder / WEIGHTS).unlink()
    return tuple(sorted(files))


class _Store:
    """The file of weights as it grows.

    Args:
        stream: empty file, open for writing.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.places: dict[bytes, int] = {}

    def place(self, content: bytes) -> int:
        """Where these bytes lie in the file; they are appended unless they are there."""
        key = hashlib.sha256(content).digest()
        if key not in self.places:
            step = GRANULARITY if len(content) >= LARGE else PAGE
            self.stream.write(bytes(-self.stream.tell() % step))
            self.places[key] = self.stream.tell()
            self.stream.write(content)
        return self.places[key]


def _without_weights(part: "onnx.ModelProto", name: str, store: _Store) -> "onnx.ModelProto":
    """A copy whose large tensors are in the store."""
    from onnx import ModelProto, TensorProto

    lean: onnx.ModelProto = ModelProto()
    lean.CopyFrom(part)
    for graph in _graphs(lean.graph):
        options = {value.name for value in graph.input}
        for tensor in graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                raise UserError(
                    f"part {name}: the weight {tensor.name} is in another file; load the graph with "
                    "its weights (onnx.load does) before it is saved among parts"
                )
            # Strings have no bytes of a known size; a default of an input belongs to its graph.
            if tensor.data_type == TensorProto.STRING or tensor.name in options:
                continue
            content = _bytes_of(tensor)
            if len(content) >= SMALLEST:
                _refer(tensor, store.place(content), len(content))
    return lean


def _bytes_of(tensor: "onnx.TensorProto") -> bytes:
    """A tensor's content as ONNX lays it out in files, whichever field holds it."""
    from onnx import numpy_helper

    if not tensor.HasField("raw_data"):
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name)
    content: bytes = tensor.raw_data
    return content


def _refer(tensor: "onnx.TensorProto", offset: int, length: int) -> None:
    """Replace a tensor's content by its place in the file."""
    from onnx import TensorProto

    for field in (
        "raw_data",
        "float_data",
        "double_data",
        "int32_data",
        "int64_data",
        "uint64_data",
    ):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", WEIGHTS), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _graphs(graph: "onnx.GraphProto") -> "Iterator[onnx.GraphProto]":
    """A graph and the bodies of its If and Loop nodes, however deep."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(body)
