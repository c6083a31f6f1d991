"""Our answers beside those that a real Triton Inference Server gave, to what few clients send.

`python -m benchmarks.conformity.triton --record-answers` records them and compares live.
"""

import json
from collections.abc import Iterator

import pytest

from seqvae.serving.limits import Limits
from tests.conformity.cases import ANSWERS, MORE
from tests.conformity.comparison import DELIBERATE, Exchange, differences, is_part_of, reason
from tests.serving.client import ask
from tests.serving.stub import Live, live
from tests.serving.triton_requests import CASES, MAX_BATCH

RECORDED = json.loads(ANSWERS.read_text(encoding="utf-8"))["answers"]


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(limits=Limits(max_batch=MAX_BATCH)) as running:
        yield running


def test_every_request_was_recorded() -> None:
    assert set(RECORDED) == set(MORE)
    assert not MORE.keys() & CASES.keys()
    assert set(DELIBERATE) <= {*MORE, *CASES}


def test_the_record_holds_nothing_of_the_machine() -> None:
    assert "/tmp" not in ANSWERS.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MORE)
def test_answers(server: Live, name: str) -> None:
    case, theirs = MORE[name], Exchange.of_record(RECORDED[name])
    answer = ask(server.port, case.path, case.body, method=case.method, headers=case.headers)
    ours = Exchange.of(answer)
    found = differences(name, ours, theirs)
    assert not found or reason(name, ours, theirs), (ours, theirs)
    assert found or name not in DELIBERATE, "it does not differ any more; take it from the list"
    if 400 <= ours.status < 500:
        assert ours.words and ours.content_type == "application/json"
    if case.path.endswith("_stream") and ours.status == 200:
        joined = "".join(event["text"] for event in ours.parts[0])
        assert joined == theirs.parts[0][0]["text"]


def exchange(
    status: int = 200,
    body: bytes = b"{}",
    content_type: str = "application/json",
    header: str | None = None,
) -> Exchange:
    return Exchange(status, content_type, header, body)


def test_what_differs_is_seen() -> None:
    same = exchange()
    assert not differences("infer", same, exchange())
    assert differences("infer", exchange(400), same) == ["status 400, Triton 200"]
    assert differences("infer", exchange(body=b'{"a":1}'), same) == ["JSON"]
    assert differences("infer", exchange(body=b"{}x"), same)
    sized = [exchange(body=body, header="2") for body in (b"{}x", b"{}y")]
    assert differences("infer", *sized) == ["bytes of tensors"]
    plain = exchange(400, b'{"error":"b"}', "text/plain")
    assert not differences("infer", exchange(400, b'{"error":"a"}'), plain)
    assert differences("infer", exchange(400, b"{}"), plain)
    assert reason("infer", exchange(400), exchange(500)) and not reason(
        "infer", exchange(404), same
    )


def test_a_record_is_read_as_it_was() -> None:
    for body in (b"{}x", b"\xff\0", "é".encode()):
        assert Exchange.of_record(json.loads(json.dumps(exchange(body=body).record()))).body == body
    trace = exchange(500, rb'{"error":"it failed\n\nAt:\n  /tmp/x/model.py(3): f\n"}')
    assert Exchange.of_record(trace.record()).body == b'{"error":"it failed"}'


def test_parts() -> None:
    assert is_part_of({"a": [1]}, {"a": [2, 3], "b": ""})
    assert not is_part_of({"a": 1}, {"b": 1})
    assert not is_part_of({"a": 1}, {"a": "1"})
    assert is_part_of([], [1]) and is_part_of([1], [])
