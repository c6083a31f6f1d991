"""Triton's generate extension: one text, whole or as server-sent events."""

import http.client
import json
import threading
import time
from collections.abc import Iterator

import pytest

from seqvae.serving.limits import Limits
from tests.serving.client import ask
from tests.serving.stub import Live, StubEngine, live, until

GENERATE = "/v2/models/model/generate"
STREAM = "/v2/models/model/generate_stream"


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live() as running:
        yield running


def events(body: bytes) -> list[dict[str, object]]:
    parts = body.decode().split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") for part in parts)
    return [json.loads(part[len("data: ") :]) for part in parts]


def test_one_text(server: Live) -> None:
    body = {"id": "4", "text": "hi", "seed": 3, "parameters": {"temperature": 0.5}}
    assert ask(server.port, GENERATE, body).json == {
        "id": "4",
        "model_name": "model",
        "model_version": "1",
        "text": "hi|3|0.5|False",
        "ids": [5, 5],
        "log_prob": -2.0,
        "complete": True,
    }
    answer = ask(server.port, "/v2/models/model/versions/1/generate", {"text_input": "hi"})
    assert answer.json["text_output"] == "hi|0|0|False"


def test_a_stream_joined_is_the_text(server: Live) -> None:
    answer = ask(server.port, STREAM, {"text_input": "añ", "id": "x", "seed": 2})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = events(answer.body)
    assert all(one["id"] == "x" and one["model_name"] == "model" for one in found)
    assert "".join(str(one["text_output"]) for one in found) == "añ|2|0|False"


@pytest.mark.parametrize("path", [GENERATE, STREAM])
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "failed to parse"),
        (b"", 400, "no body"),
        ({}, 400, "needs the field 'text'"),
        ({"text": 3}, 400, "text is 3"),
        ({"text": "a", "text_input": "b"}, 400, "name one"),
        ({"text": "a", "seed": "x"}, 400, "seed is 'x'; it must be an integer"),
        ({"text": "a", "seed": 1, "parameters": {"seed": 2}}, 400, "'seed' stands both"),
        ({"text": "a", "tempreature": 1}, 400, "did you mean temperature?"),
        ({"text": "a", "top_p": 0}, 400, "top_p"),
        ({"text": "a", "id": 4}, 400, "'id' is 4"),
        ({"text": "\ud800"}, 400, "surrogate"),
        ({"text": "too long"}, 400, "item 0"),
        ({"text": "boom"}, 500, "internal error"),
    ],
)
def test_refusals(server: Live, path: str, body: object, status: int, message: str) -> None:
    answer = ask(server.port, path, body)
    assert (answer.status, message in answer.error) == (status, True)
    assert server.service.streaming == 0


def test_other_models_do_not_generate(server: Live) -> None:
    assert ask(server.port, "/v2/models/score/generate", {"text": "a"}).status == 400
    assert ask(server.port, "/v2/models/nope/generate", {"text": "a"}).status == 404


def open_stream(server: Live, text: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", STREAM, json.dumps({"text": text}))
    return connection


def test_parts_come_as_they_are_written() -> None:
    with live(StubEngine(seconds=0.05)) as server:
        connection = open_stream(server, "some words")
        response = connection.getresponse()
        began = time.monotonic()
        assert response.readline().startswith(b"data: ")
        assert time.monotonic() - began < 0.3  # all of it takes a second
        connection.close()


def test_a_client_that_leaves_ends_its_stream() -> None:
    engine = StubEngine(seconds=0.02)
    with live(engine) as server:
        connection = open_stream(server, "words " * 200)
        response = connection.getresponse()
        response.readline()
        assert server.service.streaming == 1
        response.close()
        connection.close()
        until(lambda: server.service.streaming == 0)
        until(lambda: not any(t.name == "seqvae-stream" for t in threading.enumerate()))


def test_streams_are_bounded() -> None:
    with live(StubEngine(seconds=0.05), Limits(max_streams=1)) as server:
        connection = open_stream(server, "words " * 10)
        connection.getresponse().readline()
        answer = ask(server.port, STREAM, {"text": "a"})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        connection.close()
        until(lambda: server.service.streaming == 0)
        assert ask(server.port, STREAM, {"text": ""}).status == 200


def test_a_stream_that_takes_too_long_says_so() -> None:
    with live(StubEngine(seconds=0.02), Limits(timeout=0.2)) as server:
        found = events(ask(server.port, STREAM, {"text": "words " * 20}).body)
        assert found[-1] == {"error": "the text was not written in time"}
        assert len(found) > 1
