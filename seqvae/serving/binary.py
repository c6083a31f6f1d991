"""Tensors of the Open Inference Protocol, as JSON and as Triton's binary tensor data.

Binary: the JSON part is followed by the bytes of each tensor that has `binary_data_size` in its
parameters, little endian; the header Inference-Header-Content-Length gives the length of the JSON.
BYTES elements each follow their length, 4 bytes.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import json
import struct
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from starlette.responses import Response

from seqvae.serving.exchange import answer
from seqvae.serving.fields import check_text
from seqvae.serving.limits import Limits
from seqvae.serving.refusal import refuse, shown
from seqvae.serving.tensor_spec import Spec

HEADER = "Inference-Header-Content-Length"
Array = np.ndarray[Any, np.dtype[Any]]
NUMBERS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
}
DATATYPES = ("BYTES", *NUMBERS)
_KNOWN = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BF16", "BYTES"),
)
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "BYTES": (str,),
    "BOOL": (bool,),
    "INT64": (int,),
    "FP32": (int, float),
}
_SOURCES = ("data", "binary_data_size", "shared_memory_region")


def split(content: bytes, header: str | None) -> tuple[bytes, memoryview]:
    """The JSON part of a request and its binary part.

    Args:
        content: the body.
        header: value of Inference-Header-Content-Length; None: all of it is JSON.

    Raises:
        Refusal: 400 the length is not one of a part of the body.
    """
    if header is None:
        return content, memoryview(b"")
    # int() would also take signs, spaces, underscores and other scripts' digits.
    length = int(header) if header.isascii() and header.isdigit() and len(header) < 20 else -1
    if not 0 < length <= len(content):
        refuse(f"inference header size should be in range (0, {len(content)}), got: {header[:40]}")
    return content[:length], memoryview(content)[length:]


def read_inputs(
    inputs: object, binary: memoryview, specs: Sequence[Spec], model: str, limits: Limits
) -> dict[str, Array]:
    """The tensors of a request, all with one batch size.

    Args:
        inputs: its `inputs`.
        binary: its binary part.
        specs: of the model.
        model: its name, for messages.
        limits: `max_batch`.

    Returns:
        Arrays [B, columns] by name; BYTES as Python strings.

    Raises:
        Refusal: 400 anything that does not fit.
    """
    if not isinstance(inputs, list):
        refuse(f"'inputs' is {shown(inputs)}; it must be a list")
    known = {spec.name: spec for spec in specs}
    found: dict[str, Array] = {}
    for tensor in inputs:
        if not isinstance(tensor, dict):
            refuse(f"'inputs' holds {shown(tensor)}; each must be an object")
        name = tensor.get("name")
        if not isinstance(name, str) or name not in known:
            refuse(f"unexpected inference input {shown(name)} for model '{model}'")
        if name in found:
            refuse(f"input '{name}' already exists in request")
        found[name], binary = _read_input(tensor, binary, known[name], model, limits)
    if len(binary):
        refuse(f"unexpected additional input data for model '{model}'")
    missing = [spec.name for spec in specs if not spec.optional and spec.name not in found]
    if missing:
        refuse(f"missing required input(s) {missing} for model '{model}'")
    sizes = {len(array) for array in found.values()}
    if len(sizes) > 1:
        refuse(f"input '{next(iter(found))}' batch size does not match other inputs for '{model}'")
    return found


def _read_input(
    tensor: dict[str, Any], binary: memoryview, spec: Spec, model: str, limits: Limits
) -> tuple[Array, memoryview]:
    """One tensor, and the binary part behind it."""
    datatype, parameters = tensor.get("datatype"), tensor.get("parameters", {})
    if datatype not in _KNOWN:
        refuse(f"invalid datatype for input {spec.name}: {shown(datatype)}")
    if datatype != spec.datatype:
        refuse(
            f"inference input '{spec.name}' data-type is '{datatype}', but model '{model}' expects "
            f"'{spec.datatype}'"
        )
    if not isinstance(parameters, dict):
        refuse(f"input '{spec.name}': parameters is {shown(parameters)}; it must be an object")
    rows, columns = _shape_of(tensor.get("shape"), spec, model, limits)
    given = [name for name in _SOURCES if name in (tensor if name == "data" else parameters)]
    if len(given) != 1:
        refuse(
            f"input '{spec.name}' must set only one of 'data', 'binary_data_size' in 'parameters'; "
            f"it sets {given}"
        )
    if given[0] == "shared_memory_region":
        refuse(f"input '{spec.name}': shared memory is not supported")
    if given[0] == "data":
        values = _from_json(tensor["data"], spec, rows * columns, model)
        return values.reshape(rows, columns), binary
    size = parameters["binary_data_size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        refuse(f"input '{spec.name}': binary_data_size is {shown(size)}; it must be 0 or more")
    if size > len(binary):
        refuse(
            f"unexpected size for input '{spec.name}', expecting {size - len(binary)} additional "
            f"bytes for model '{model}'"
        )
    values = _from_bytes(binary[:size], spec, rows * columns, model)
    return values.reshape(rows, columns), binary[size:]


def _shape_of(shape: object, spec: Spec, model: str, limits: Limits) -> tuple[int, int]:
    if not isinstance(shape, list) or len(shape) > 16 or not all(type(n) is int for n in shape):
        refuse(f"input '{spec.name}': shape is {shown(shape)}; it must be a list of integers")
    fits = len(shape) == 2 and shape[0] >= 1 and spec.columns in (-1, shape[1])
    if not fits:
        refuse(
            f"unexpected shape for input '{spec.name}' for model '{model}'. Expected "
            f"[-1,{spec.columns}], got {json.dumps(shape)[:60]}; the first axis is the batch"
        )
    if shape[0] > limits.max_batch:
        refuse(f"inference request batch-size must be <= {limits.max_batch} for '{model}'")
    return shape[0], shape[1]


def _from_json(data: object, spec: Spec, count: int, model: str) -> Array:
    """Values of a `data` list, which may be nested."""
    values: list[Any] = [data]
    while any(isinstance(value, list) for value in values):
        # Its depth is bounded by that of all JSON, its length by that of the request.
        values = [x for v in values for x in (v if isinstance(v, list) else [v])]
    kinds = _JSON_TYPES[spec.datatype]
    for value in values:
        if not isinstance(value, kinds) or (isinstance(value, bool) and spec.datatype != "BOOL"):
            refuse(f"input '{spec.name}': data holds {shown(value)}, which is not {spec.datatype}")
    if len(values) != count:
        _wrong_count(spec, model, count, len(values))
    if spec.datatype == "BYTES":
        for text in values:
            check_text(f"input '{spec.name}': data", text)
        return np.array(values, dtype=object)
    try:
        # A number beyond float32 becomes infinity: the option's own range refuses that.
        with np.errstate(over="ignore"):
            return np.array(values, NUMBERS[spec.datatype])
    except OverflowError:
        refuse(f"input '{spec.name}': data holds a number beyond {spec.datatype}")


def _from_bytes(content: memoryview, spec: Spec, count: int, model: str) -> Array:
    if spec.datatype != "BYTES":
        dtype = NUMBERS[spec.datatype]
        if len(content) != count * dtype.itemsize:
            refuse(
                f"input byte size mismatch for input '{spec.name}' for model '{model}'. "
                f"Expected {count * dtype.itemsize}, got {len(content)}"
            )
        raw = np.frombuffer(content, np.uint8 if spec.datatype == "BOOL" else dtype)
        return raw != 0 if spec.datatype == "BOOL" else raw
    texts: list[str] = []
    position = 0
    while position < len(content) and len(texts) <= count:
        if len(content) - position < 4:
            _cut_short(spec, 4, len(content) - position)
        (length,) = struct.unpack_from("<I", content, position)
        position += 4
        if len(content) - position < length:
            _cut_short(spec, length, len(content) - position)
        try:
            texts.append(str(content[position : position + length], "utf-8"))
        except UnicodeDecodeError as error:
            refuse(f"input '{spec.name}': element {len(texts)} is not UTF-8: byte {error.start}")
        position += length
    if len(texts) != count:
        _wrong_count(spec, model, count, len(texts))
    return np.array(texts, dtype=object)


def _wrong_count(spec: Spec, model: str, expected: int, found: int) -> NoReturn:
    refuse(
        f"unexpected number of elements {found} for inference input '{spec.name}' for model "
        f"'{model}', expecting {expected}"
    )


def _cut_short(spec: Spec, wanted: int, found: int) -> NoReturn:
    refuse(
        f"incomplete string data for inference input '{spec.name}', expecting string of length "
        f"{wanted} but only {found} bytes available"
    )


def write_outputs(
    head: dict[str, Any], arrays: dict[str, Array], specs: Sequence[Spec], binary: dict[str, bool]
) -> Response:
    """The answer to an inference request.

    Args:
        head: what stands before the outputs.
        arrays: [B, columns] by name.
        specs: of the model's outputs, whose order is kept.
        binary: for each output that is wanted, whether as bytes.
    """
    outputs, blobs = [], []
    for spec in specs:
        if spec.name not in binary:
            continue
        array = arrays[spec.name]
        output: dict[str, Any] = {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": list(array.shape),
        }
        if binary[spec.name]:
            blob = _to_bytes(array, spec)
            output["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            output["data"] = array.ravel().tolist()
        outputs.append(output)
    response = answer({**head, "outputs": outputs})
    if not blobs:
        return response
    content = bytes(response.body)
    return Response(
        b"".join((content, *blobs)),
        headers={HEADER: str(len(content))},
        media_type="application/octet-stream",
    )


def _to_bytes(array: Array, spec: Spec) -> bytes:
    if spec.datatype != "BYTES":
        return array.astype(NUMBERS[spec.datatype]).tobytes()
    texts = [text.encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
