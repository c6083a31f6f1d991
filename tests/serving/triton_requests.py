"""Requests that are put both to a real Triton Inference Server and to ours."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving.client import INFER, binary_text, element, framed, tensor, text

ANSWERS = Path(__file__).with_name("triton_answers.json")
MAX_BATCH = 8
GENERATE = "/v2/models/model/generate"


@dataclass(frozen=True)
class Case:
    """One request; without a body it is a GET, with one a POST, unless `method` says otherwise."""

    path: str
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str | None = None


def _infer(*inputs: dict[str, Any], **more: object) -> Case:
    return Case(INFER, {"inputs": list(inputs), **more})


def _binary(head: object, blob: bytes, length: object = None) -> Case:
    return Case(INFER, *framed(head, blob, length))


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ONE.items() if key != name}


ONE = text(["a"])
W = element(b"a")
_BODY = json.dumps({"inputs": [ONE]}).encode()
WANT_BINARY = {"name": "text", "parameters": {"binary_data": True}}
CASES = {
    "live": Case("/v2/health/live"),
    "ready": Case("/v2/health/ready"),
    "live by POST": Case("/v2/health/live", b""),
    "slash": Case("/v2/"),
    "unknown address": Case("/v2/nope"),
    "model": Case("/v2/models/model"),
    "model, version": Case("/v2/models/model/versions/1"),
    "model, unknown version": Case("/v2/models/model/versions/7"),
    "unknown model": Case("/v2/models/nope"),
    "model ready": Case("/v2/models/model/ready"),
    "unknown model ready": Case("/v2/models/nope/ready"),
    "unknown version ready": Case("/v2/models/model/versions/7/ready"),
    "statistics of an unknown model": Case("/v2/models/nope/stats"),
    "index": Case("/v2/repository/index", b""),
    "infer by GET": Case(INFER),
    "infer": _infer(text(["a", "b"])),
    "id": _infer(ONE, id="7"),
    "options": _infer(text(["a", "b"]), tensor("seed", "INT64", [1, -2])),
    "floats as integers": _infer(ONE, tensor("temperature", "FP32", [1])),
    "truth": _infer(ONE, tensor("beam", "BOOL", [True])),
    "nested data": _infer(text([["a"], ["b"]], [2, 1])),
    "a longer text": _infer(text(["", "日本語 🙂\nnext line"])),
    "infer, version": Case("/v2/models/model/versions/1/infer", {"inputs": [ONE]}),
    "infer, unknown version": Case("/v2/models/model/versions/7/infer", {"inputs": [ONE]}),
    "infer, unknown model": Case("/v2/models/nope/infer", {"inputs": [ONE]}),
    "one output": _infer(ONE, outputs=[{"name": "log_prob"}]),
    "outputs in another order": _infer(ONE, outputs=[{"name": "log_prob"}, {"name": "text"}]),
    "an output twice": _infer(ONE, outputs=[{"name": "text"}, {"name": "text"}]),
    "no outputs": _infer(ONE, outputs=[]),
    "unknown output": _infer(ONE, outputs=[{"name": "zz"}]),
    "all binary": _infer(ONE, parameters={"binary_data_output": True}),
    "one binary": _infer(ONE, outputs=[WANT_BINARY, {"name": "log_prob"}]),
    "unknown parameter": _infer(ONE, parameters={"x": 1}),
    "bad parameter": _infer(ONE, parameters={"x": []}),
    "gzip": Case(INFER, gzip.compress(_BODY, mtime=0), {"Content-Encoding": "gzip"}),
    "brotli": Case(INFER, b"x", {"Content-Encoding": "br"}),
    "no JSON": Case(INFER, b"{"),
    "no body": Case(INFER, b""),
    "no inputs": Case(INFER, {}),
    "empty inputs": _infer(),
    "id a number": _infer(ONE, id=7),
    "wrong type": _infer(text(["a"], datatype="FP32")),
    "unknown type": _infer(text(["a"], datatype="FOO")),
    "no type": _infer(_without("datatype")),
    "no shape": _infer(_without("shape")),
    "no name": _infer(_without("name")),
    "no data": _infer(_without("data")),
    "unknown input": _infer(ONE, text(["a"], name="zz")),
    "an input twice": _infer(ONE, ONE),
    "rank 1": _infer(text(["a"], [1])),
    "rank 3": _infer(text(["a"], [1, 1, 1])),
    "two columns": _infer(text(["a", "b"], [1, 2])),
    "no rows": _infer(text([], [0, 1])),
    "huge shape": _infer(text(["a"], [2**40, 2**40])),
    "too few elements": _infer(text(["a"], [2, 1])),
    "too many elements": _infer(text(["a", "b"], [1, 1])),
    "a number for a text": _infer(text([3])),
    "a text for a number": _infer(ONE, tensor("seed", "INT64", ["x"])),
    "a fraction for an integer": _infer(ONE, tensor("seed", "INT64", [1.5])),
    "another batch": _infer(text(["a", "b"]), tensor("seed", "INT64", [1])),
    "a batch too large": _infer(text(["a"] * (MAX_BATCH + 1))),
    "binary": _binary(binary_text(5), W),
    "binary, short": _binary(binary_text(5), W[:4]),
    "binary, extra": _binary(binary_text(5), W + b"x"),
    "binary, no element": _binary(binary_text(4), W[:4]),
    "binary, long element": _binary(binary_text(5), b"\t\0\0\0a"),
    "binary, two for one": _binary(binary_text(10), W + W),
    "binary, one for two": _binary(binary_text(5, [2, 1]), W),
    "binary, negative": _binary(binary_text(-5), W),
    "binary, huge": _binary(binary_text(2**62), W),
    "binary, header too long": _binary(binary_text(5), W, 99999),
    "binary, header negative": _binary(binary_text(5), W, -1),
    "binary, header short": _binary(binary_text(5), W, 3),
    "the model fails": _infer(text(["boom"])),
    "generate": Case(GENERATE, {"text": "hi", "seed": 3}),
    "generate, id": Case(GENERATE, {"text": "hi", "id": "4"}),
    "generate, unknown model": Case("/v2/models/nope/generate", {"text": "hi"}),
    "generate, no JSON": Case(GENERATE, b"{"),
    "generate, no text": Case(GENERATE, {}),
    "generate, a number": Case(GENERATE, {"text": 3}),
    "generate by GET": Case(GENERATE),
}
