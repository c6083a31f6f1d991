"""More requests for a real Triton Inference Server and ours: what few clients send, and none should.

The plain ones are in tests/serving/triton_requests.py.
"""

import json
import struct
from pathlib import Path

from tests.serving.client import INFER, binary_text, element, framed, tensor, text
from tests.serving.triton_requests import GENERATE, Case

ANSWERS = Path(__file__).with_name("triton_answers.json")
MODEL = "/v2/models/model"
STREAM = f"{GENERATE}_stream"
ONE = text(["a"])
W = element(b"a")


def _infer(*inputs: object, **more: object) -> Case:
    return Case(INFER, {"inputs": list(inputs), **more})


def _raw(content: bytes, **headers: str) -> Case:
    return Case(INFER, content, {name.replace("_", "-"): value for name, value in headers.items()})


def _seed(value: object) -> Case:
    return _infer(ONE, tensor("seed", "INT64", [value]))


def _written(number: str, name: str = "seed", datatype: str = "INT64") -> Case:
    """A number as it is written, which Python's json would not write."""
    body = json.dumps({"inputs": [ONE, tensor(name, datatype, [31337])]})
    return _raw(body.replace("31337", number).encode())


def _wants(output: object) -> Case:
    return _infer(ONE, outputs=[output])


def _parameter(name: str, value: object) -> Case:
    return _infer(ONE, parameters={name: value})


def _binary(
    size: object, blob: bytes, shape: list[int] | None = None, length: object = None
) -> Case:
    return Case(INFER, *framed(binary_text(size, shape), blob, length))


def _binary_seed(blob: bytes, datatype: str = "INT64", name: str = "seed") -> Case:
    column = {"name": name, "datatype": datatype, "shape": [1, 1]}
    head = {"inputs": [ONE, {**column, "parameters": {"binary_data_size": len(blob)}}]}
    return Case(INFER, *framed(head, blob))


_BODY = json.dumps({"inputs": [ONE]})
ADDRESSES = {
    "server": Case("/v2"),
    "server, query": Case("/v2?a=b"),
    "config": Case(f"{MODEL}/config"),
    "config of an unknown model": Case("/v2/models/nope/config"),
    "statistics": Case(f"{MODEL}/stats"),
    "statistics of a version": Case(f"{MODEL}/versions/1/stats"),
    "statistics of all": Case("/v2/models/stats"),
    "index, ready only": Case("/v2/repository/index", {"ready": True}),
    "index by GET": Case("/v2/repository/index"),
    "server by POST": Case("/v2", b""),
    "metadata by POST": Case(MODEL, b""),
    "infer by PUT": Case(INFER, _BODY.encode(), method="PUT"),
    "infer by DELETE": Case(INFER, method="DELETE"),
    "no version": Case(f"{MODEL}/versions"),
    "empty version": Case(f"{MODEL}/versions/"),
    "version 0": Case(f"{MODEL}/versions/0"),
    "version 01": Case(f"{MODEL}/versions/01"),
    "version -1": Case(f"{MODEL}/versions/-1"),
    "version a word": Case(f"{MODEL}/versions/latest"),
    "a version too large": Case(f"{MODEL}/versions/{2**64}"),
    "version 1 ready": Case(f"{MODEL}/versions/1/ready"),
    "two slashes": Case("//v2//health//live"),
    "a slash after": Case("/v2/health/live/"),
    "a name in percents": Case("/v2/models/mod%65l"),
    "a path in percents": Case("/v2/models/..%2f..%2fetc%2fpasswd"),
    "dots": Case("/v2/models/../../etc/passwd"),
    "a long name": Case(f"/v2/models/{'m' * 3000}"),
    "the root of models": Case("/v2/models"),
}
REQUESTS = {
    "another content type": _raw(_BODY.encode(), Content_Type="text/plain"),
    "two encodings": _raw(_BODY.encode(), Content_Encoding="gzip, deflate"),
    "not gzip": _raw(_BODY.encode(), Content_Encoding="gzip"),
    "identity": _raw(_BODY.encode(), Content_Encoding="identity"),
    "continue": _raw(_BODY.encode(), Expect="100-continue"),
    "an array": _raw(b"[]"),
    "null": _raw(b"null"),
    "a mark of byte order": _raw(b"\xef\xbb\xbf" + _BODY.encode()),
    "something after": _raw(_BODY.encode() + b"}"),
    "keys twice": _raw(_BODY[:-1].encode() + b', "id": "1", "id": "2"}'),
    "inputs twice": _raw(_BODY[:-1].encode() + b', "inputs": []}'),
    "not UTF-8": _raw(_BODY.encode().replace(b'"a"', b'"\xff"')),
    "half a pair": _raw(_BODY.encode().replace(b'"a"', rb'"\ud800"')),
    "nested 100 deep": _raw(b'{"inputs":' + b"[" * 100 + b"]" * 100 + b"}"),
    "inputs an object": Case(INFER, {"inputs": {}}),
    "inputs null": Case(INFER, {"inputs": None}),
    "an input that is a number": _infer(3),
    "a field too many": _infer(ONE, zz=1),
    "a field too many in an input": _infer({**ONE, "zz": 1}),
    "id null": _infer(ONE, id=None),
    "id empty": _infer(ONE, id=""),
    "outputs an object": _infer(ONE, outputs={}),
    "outputs null": _infer(ONE, outputs=None),
    "an output that is a word": _wants("text"),
    "an output without a name": _wants({}),
    "classification": _wants({"name": "text", "parameters": {"classification": 1}}),
    "shared memory": _wants(
        {
            "name": "text",
            "parameters": {"shared_memory_region": "x", "shared_memory_byte_size": 9},
        }
    ),
    "an input in shared memory": _infer(
        {
            **{k: v for k, v in ONE.items() if k != "data"},
            "parameters": {"shared_memory_region": "x", "shared_memory_byte_size": 9},
        }
    ),
    "binary_data a number": _wants({"name": "text", "parameters": {"binary_data": 1}}),
    "binary_data_output a word": _parameter("binary_data_output", "yes"),
    "binary_data_output, one as JSON": _infer(
        ONE,
        parameters={"binary_data_output": True},
        outputs=[{"name": "text", "parameters": {"binary_data": False}}, {"name": "log_prob"}],
    ),
    "parameters a list": _infer(ONE, parameters=[]),
    "parameters null": _infer(ONE, parameters=None),
    "parameter null": _parameter("x", None),
    "parameter an object": _parameter("x", {}),
    "parameter a fraction": _parameter("x", 1.5),
    "parameter reserved": _parameter("triton_x", 1),
    "priority": _parameter("priority", 1),
    "timeout": _parameter("timeout", 10_000_000),
    "timeout a word": _parameter("timeout", "x"),
    "timeout negative": _parameter("timeout", -1),
    "sequence": _infer(
        ONE, parameters={"sequence_id": 3, "sequence_start": True, "sequence_end": True}
    ),
}
TENSORS = {
    "an option without a text": _infer(tensor("seed", "INT64", [1])),
    "shape negative": _infer(text(["a"], [-1, 1])),
    "shape fractions": _infer({**ONE, "shape": [1.0, 1.0]}),
    "shape words": _infer({**ONE, "shape": ["1", "1"]}),
    "shape a number": _infer({**ONE, "shape": 1}),
    "shape empty": _infer({**ONE, "shape": []}),
    "shape overflows": _infer({**ONE, "shape": [2**64, 1]}),
    "shape whose product overflows": _infer({**ONE, "shape": [2**63, 2]}),
    "name null": _infer({**ONE, "name": None}),
    "datatype in small letters": _infer({**ONE, "datatype": "bytes"}),
    "datatype null": _infer({**ONE, "datatype": None}),
    "data null": _infer({**ONE, "data": None}),
    "data a word": _infer({**ONE, "data": "a"}),
    "data an object": _infer({**ONE, "data": {}}),
    "data with null": _infer(text([None])),
    "data nested unevenly": _infer(text([["a"], "b"], [2, 1])),
    "data nested too deep": _infer(text([[["a"]]])),
    "zero in a text": _infer(text(["a\0b"])),
    "int64 largest": _seed(2**63 - 1),
    "int64 least": _seed(-(2**63)),
    "int64 too large": _seed(2**63),
    "int64 far too large": _seed(2**64),
    "int64 true": _seed(True),
    "int64 null": _seed(None),
    "int64 with an exponent": _written("1e3"),
    "int64 with a point": _written("7.0"),
    "int64 with zeros before": _written("007"),
    "float not a number": _written("NaN", "temperature", "FP32"),
    "float infinite": _written("Infinity", "temperature", "FP32"),
    "float too large": _written("1e400", "temperature", "FP32"),
    "float a word": _infer(ONE, tensor("temperature", "FP32", ["1.0"])),
    "float true": _infer(ONE, tensor("temperature", "FP32", [True])),
    "truth a number": _infer(ONE, tensor("beam", "BOOL", [1])),
    "truth a word": _infer(ONE, tensor("beam", "BOOL", ["true"])),
    "truth null": _infer(ONE, tensor("beam", "BOOL", [None])),
    "another type of number": _infer(ONE, tensor("seed", "INT32", [1])),
    "data and binary": _infer({**ONE, "parameters": {"binary_data_size": 5}}),
    "binary without the header": _raw(json.dumps(binary_text(5)).encode() + W),
    "binary, size a word": _binary("5", W),
    "binary, size a fraction": _binary(5.5, W),
    "binary, size true": _binary(True, W),
    "binary, size null": _binary(None, W),
    "binary, size 0": _binary(0, b""),
    "binary, header a word": _binary(5, W, length="abc"),
    "binary, header empty": _binary(5, W, length=""),
    "binary, header 0": _binary(5, W, length=0),
    "binary, header with a plus": _binary(5, W, length="+5"),
    "binary, header overflows": _binary(5, W, length=2**64),
    "binary, shape overflows": _binary(5, W, [2**62, 4]),
    "binary, not UTF-8": _binary(5, element(b"\xff")),
    "binary, empty text": _binary(4, element(b"")),
    "binary, longest length": _binary(5, b"\xff\xff\xff\xffa"),
    "binary, many rows": _binary(10, W + W, [2, 1]),
    "binary, integer": _binary_seed(struct.pack("<q", -3)),
    "binary, integer too short": _binary_seed(b"\1" * 4),
    "binary, integer too long": _binary_seed(b"\1" * 16),
    "binary, float": _binary_seed(struct.pack("<f", 0.5), "FP32", "temperature"),
    "binary, truth": _binary_seed(b"\1", "BOOL", "beam"),
    "binary, nothing": _binary_seed(b""),
}
TEXTS = {
    "generate, options in parameters": Case(GENERATE, {"text": "hi", "parameters": {"seed": 3}}),
    "generate, a list": Case(GENERATE, {"text": ["hi"]}),
    "generate, id a number": Case(GENERATE, {"text": "hi", "id": 4}),
    "generate, unknown field": Case(GENERATE, {"text": "hi", "zz": 1}),
    "generate, unknown field an object": Case(GENERATE, {"text": "hi", "zz": {}}),
    "generate, null": Case(GENERATE, {"text": None}),
    "generate, an array": Case(GENERATE, b"[]"),
    "generate, no body": Case(GENERATE, b""),
    "generate, a fraction for an integer": Case(GENERATE, {"text": "hi", "seed": 1.5}),
    "generate, a version": Case(f"{MODEL}/versions/1/generate", {"text": "hi"}),
    "generate, unknown version": Case(f"{MODEL}/versions/7/generate", {"text": "hi"}),
    "generate, the model fails": Case(GENERATE, {"text": "boom"}),
    "stream, no JSON": Case(STREAM, b"{"),
    "stream, no text": Case(STREAM, {}),
    "stream, unknown model": Case("/v2/models/nope/generate_stream", {"text": "hi"}),
    "stream, the model fails": Case(STREAM, {"text": "boom"}),
    "stream by GET": Case(STREAM),
    "stream": Case(STREAM, {"text": "hi", "seed": 3}),
}
MORE = {**ADDRESSES, **REQUESTS, **TENSORS, **TEXTS}
