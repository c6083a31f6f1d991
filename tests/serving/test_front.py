"""Keys, the access log, metrics: what every request passes."""

import io
import json
import re
import socket
from pathlib import Path

import pytest

from seqvae.cli_serve import read_keys
from seqvae.errors import UserError
from seqvae.serving.front import Keys, LogFormat
from seqvae.serving.http import build
from seqvae.serving.metrics import Histogram, Metrics, Series, labels
from tests.serving.client import INFER, ask, text
from tests.serving.stub import live

KEY = "0123456789abcdef"


def test_keys() -> None:
    keys = Keys([KEY, "another-key-of-mine"])
    assert keys and not Keys([])
    assert keys.fit([(b"authorization", b"Bearer " + KEY.encode())])
    assert keys.fit([(b"authorization", b"bearer  another-key-of-mine ")])
    assert keys.fit([(b"x-api-key", KEY.encode())])
    for name, value in (
        (b"authorization", KEY.encode()),
        (b"authorization", b"Basic " + KEY.encode()),
        (b"x-api-key", KEY[:-1].encode()),
        (b"x-api-key", b""),
        (b"x-api-key", b"\xff" * 16),
    ):
        assert not keys.fit([(name, value)])
    assert not keys.fit([])


def test_a_key_is_asked_for_everywhere_but_at_health_and_the_page() -> None:
    with live(keys=[KEY]) as server:
        for path in ("/v2/health/live", "/v2/health/ready", "/", "/page/app.js"):
            assert ask(server.port, path).status == 200
        for path in ("/v2", "/metrics", "/v1/info", "/openapi.json", "/nope", "/page", "//"):
            answer = ask(server.port, path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "Authorization: Bearer KEY" in answer.error
        body = {"inputs": [text(["a"])]}
        assert ask(server.port, INFER, body).status == 401
        header = {"Authorization": f"Bearer {KEY}"}
        assert ask(server.port, INFER, body, headers=header).status == 200
        assert not server.engine.calls[1:]


def test_keys_are_read_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{KEY}\n\nanother-key-of-mine\n")
    assert read_keys(file, {}) == [KEY, "another-key-of-mine"]
    assert read_keys(None, {"SEQVAE_API_KEY": KEY}) == [KEY]
    assert read_keys(None, {"SEQVAE_API_KEY": ""}) == []
    file.write_text("\n# nothing\n")
    with pytest.raises(UserError, match="holds no key"):
        read_keys(file, {})
    file.write_text(f"{KEY}\nshort\n")
    with pytest.raises(UserError, match="line 2: a key needs 16") as caught:
        read_keys(file, {})
    assert "short" not in str(caught.value)
    with pytest.raises(UserError, match="--api-key-file"):
        read_keys(tmp_path / "absent", {})


def logged(log_format: LogFormat) -> list[str]:
    stream = io.StringIO()
    with live() as server:
        app = build(server.service, log_format=log_format, log_to=stream)
        server.server._uvicorn.config.loaded_app = app
        ask(server.port, "/v2/health/live")
        ask(server.port, "/v1/sample?key=secret", {"seed": 1}, headers={"X-Request-Id": "my-1"})
        ask(server.port, "/nope%0Aforged")
        ask(server.port, "/v1/sample", {}, headers={"X-Request-Id": "bad id\t"})
    return stream.getvalue().splitlines()


def test_the_log_is_one_json_object_a_line() -> None:
    first, second, third = map(json.loads, logged("json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert first.pop("seconds") >= 0
    assert first == {
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/sample",
        "status": 200,
        "bytes": len('{"texts":["sample 1 0"]}'),
        "request": "my-1",
    }
    assert (second["path"], second["status"]) == ("/nope%0Aforged", 404)
    assert re.fullmatch("[0-9a-f]{16}", third["request"])


def test_the_common_log_format() -> None:
    first, *_ = logged("common")
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[.* \+0000\] "POST /v1/sample HTTP/1\.1" 200 24 [0-9.]+ my-1', first
    )
    assert logged("off") == []


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("no space left")

    with live() as server:
        app = build(server.service, log_format="json", log_to=Full())
        server.server._uvicorn.config.loaded_app = app
        assert ask(server.port, "/v1/info").status == 200
        assert ask(server.port, "/v1/info").status == 200


def test_answers_carry_the_number_of_their_request() -> None:
    with live() as server:
        assert ask(server.port, "/v2", headers={"X-Request-Id": "a-1"}).headers["x-request-id"] == (
            "a-1"
        )
        assert len(ask(server.port, "/nope").headers["x-request-id"]) == 16


def value(content: str, name: str) -> float:
    (found,) = re.findall(rf"^{re.escape(name)} (\S+)$", content, re.MULTILINE)
    return float(found)


def test_metrics_of_a_server() -> None:
    with live() as server:
        ask(server.port, INFER, {"inputs": [text(["a", "b"])]})
        ask(server.port, INFER, {"inputs": [text(["boom"])]})
        ask(server.port, "/v1/sample", {"n": 3})
        for path in ("/one", "/two"):
            ask(server.port, path)
        answer = ask(server.port, "/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        content = answer.body.decode()
    model = 'model="model",version="1"'
    assert value(content, f"nv_inference_request_success{{{model}}}") == 1
    reason = 'model="model",reason="BACKEND",version="1"'
    assert value(content, f"nv_inference_request_failure{{{reason}}}") == 1
    assert value(content, f"nv_inference_count{{{model}}}") == 3
    assert value(content, f"nv_inference_exec_count{{{model}}}") == 2
    assert value(content, f"nv_inference_request_duration_us{{{model}}}") > 0
    assert value(content, 'nv_inference_count{model="sample",version="1"}') == 3
    assert value(content, "seqvae_tokens_written_total") == 4
    assert value(content, "seqvae_ready") == 1
    assert value(content, "seqvae_queue_rows") == 0
    assert value(content, 'seqvae_batch_rows_bucket{model="model",le="+Inf"}') == 2
    assert value(content, 'seqvae_http_responses_total{route="other",status="404"}') == 2
    assert value(content, "process_resident_memory_bytes") > 1e6
    for line in content.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+-]+', line)


def test_the_exposition() -> None:
    series = Series("x_total", "What")
    series.add(2, labels(name='a"b\\c\nd'))
    assert list(series.lines()) == [
        "# HELP x_total What",
        "# TYPE x_total counter",
        'x_total{name="a\\"b\\\\c\\nd"} 2',
    ]
    histogram = Histogram("y", "What", (1, 2))
    for observed in (0.5, 1, 2, 5):
        histogram.observe(observed)
    assert list(histogram.lines())[2:] == [
        'y_bucket{le="1"} 2',
        'y_bucket{le="2"} 3',
        'y_bucket{le="+Inf"} 4',
        "y_sum 8.5",
        "y_count 4",
    ]
    assert "process_start_time_seconds" in Metrics().text({})


def test_head_has_no_body() -> None:
    with live() as server, socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(b"HEAD /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = b""
        while part := connection.recv(4096):
            found += part
        assert found.startswith(b"HTTP/1.1 200") and found.endswith(b"\r\n\r\n")
