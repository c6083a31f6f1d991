"""Our answers beside those that a real Triton Inference Server gave to the same requests.

`python -m benchmarks.conformity.triton --record-answers` records them; tests/conformity has more.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from seqvae.serving.limits import Limits
from tests.serving.client import ask
from tests.serving.stub import Live, live
from tests.serving.triton_requests import ANSWERS, CASES, MAX_BATCH

RECORDED = json.loads(ANSWERS.read_text())["answers"]
# Triton calls a malformed request its own fault; these are the client's.
OUR_400 = {
    name for name, found in RECORDED.items() if found["status"] == 500 and name != "the model fails"
}
DEVIATIONS = {
    **dict.fromkeys(OUR_400, 400),
    "brotli": 415,  # Triton: 501
}
# Tensors that our model takes beyond those of the recorded one.
OURS = {"model", "model, version"}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(limits=Limits(max_batch=MAX_BATCH)) as running:
        yield running


def test_every_request_was_recorded() -> None:
    assert set(RECORDED) == set(CASES)
    assert {"no JSON", "wrong type", "id a number"} <= OUR_400
    assert not {"a batch too large", "unknown input", "infer"} & OUR_400


@pytest.mark.parametrize("name", CASES)
def test_answers(server: Live, name: str) -> None:
    case, recorded = CASES[name], RECORDED[name]
    answer = ask(server.port, case.path, case.body, headers=case.headers)
    assert answer.status == DEVIATIONS.get(name, recorded["status"])
    theirs = base64.b64decode(recorded["body"])
    if answer.status != 200:
        if theirs:
            assert list(json.loads(theirs)) == list(answer.json) == ["error"]
        return
    header = answer.headers.get("inference-header-content-length")
    assert (header is None) == (recorded["header"] is None)
    if not theirs:
        assert not answer.body
        return
    our_json, our_blob = parts(answer.body, header)
    their_json, their_blob = parts(theirs, recorded["header"])
    assert our_blob == their_blob
    if name in OURS:
        for key in ("inputs", "outputs"):
            ours = our_json.pop(key)
            assert all(tensor in ours for tensor in their_json.pop(key))
        their_json["platform"] = "onnxruntime_onnx"
    if name == "index":
        our_json = [one for one in our_json if one["name"] == "model"]
    assert our_json == their_json


def parts(body: bytes, header: str | None) -> tuple[Any, bytes]:
    length = len(body) if header is None else int(header)
    return json.loads(body[:length]), body[length:]


SAME_WORDS = (
    "unknown model",
    "model, unknown version",
    "unknown input",
    "unknown output",
    "unknown model ready",
    "statistics of an unknown model",
    "binary, extra",
    "binary, long element",
    "binary, header too long",
    "unknown address",
    "infer by GET",
)


@pytest.mark.parametrize("name", SAME_WORDS)
def test_messages_that_programs_look_for(server: Live, name: str) -> None:
    case = CASES[name]
    answer = ask(server.port, case.path, case.body, headers=case.headers)
    assert answer.json == json.loads(base64.b64decode(RECORDED[name]["body"]))
