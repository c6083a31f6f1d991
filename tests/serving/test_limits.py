"""How much, how many, for how long: on a real socket, with clients that mean no good."""

import asyncio
import json
import socket
import threading
import time
from typing import Any

import pytest

from seqvae.errors import UserError
from seqvae.serving.limits import Limits
from tests.serving.client import INFER, ask, text
from tests.serving.stub import Live, StubEngine, live, until

BODY = json.dumps({"inputs": [text(["a"])]}).encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batch", 0),
        ("max_queue", 31),
        ("window_ms", -1.0),
        ("timeout", float("nan")),
        ("overload_status", 500),
        ("max_body_mb", 0.0),
    ],
)
def test_limits_have_ranges(name: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=f"limits: {name} is"):
        Limits(**{name: value})


def connect(server: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def post(length: int | None, path: str = INFER, **headers: str) -> bytes:
    size = "" if length is None else f"Content-Length: {length}\r\n"
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{size}{more}\r\n".encode()


def all_of(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def one_of(connection: socket.socket) -> bytes:
    """One answer on a connection that stays open."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_that_is_announced_too_large() -> None:
    with live(limits=Limits(max_body_mb=0.1)) as server:
        answer = ask(server.port, INFER, bytes(200_000))
        assert answer.status == 413 and "104,857 bytes" in answer.error
        with connect(server) as connection:  # one that would never end
            connection.sendall(post(1 << 40))
            assert status(all_of(connection)) == 413
        assert ask(server.port, INFER, BODY).status == 200


def test_all_bodies_together_are_bounded() -> None:
    limits = Limits(max_body_mb=0.5, max_bodies_mb=0.5)
    with live(limits=limits) as server, connect(server) as first, connect(server) as second:
        first.sendall(post(400_000) + bytes(300_000))
        until(lambda: server.service.receiving == 300_000)
        second.sendall(post(400_000) + bytes(300_000))
        assert status(one_of(second)) == 503
        assert ask(server.port, INFER, BODY).status == 200
        first.close()
        until(lambda: server.service.receiving == 0)


def test_a_body_of_unknown_length_is_counted() -> None:
    with live(limits=Limits(max_body_mb=0.1)) as server, connect(server) as connection:
        connection.sendall(post(None, Transfer_Encoding="chunked"))
        chunk = b"%x\r\n%s\r\n" % (50_000, bytes(50_000))
        for _ in range(3):
            connection.sendall(chunk)
        assert status(all_of(connection)) == 413


def test_chunks_are_put_together() -> None:
    with live() as server, connect(server) as connection:
        connection.sendall(post(None, Transfer_Encoding="chunked", Connection="close"))
        for byte in BODY:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")
        assert status(all_of(connection)) == 200


def test_json_has_a_limit_of_its_own() -> None:
    with live(limits=Limits(max_json_mb=0.01)) as server:
        answer = ask(server.port, INFER, {"inputs": [text(["a" * 20_000])]})
        assert answer.status == 413 and "JSON" in answer.error


def test_a_body_that_does_not_come_is_given_up() -> None:
    with live(limits=Limits(body_seconds=0.2)) as server, connect(server) as connection:
        began = time.monotonic()
        connection.sendall(post(len(BODY)) + BODY[:5])
        answer = all_of(connection)  # the server closes: no dribbling client holds it
        assert status(answer) == 408 and b"within 0.2 s" in answer
        assert time.monotonic() - began < 2


def test_a_body_that_comes_drop_by_drop_is_given_up() -> None:
    with live(limits=Limits(body_seconds=0.2)) as server, connect(server) as connection:
        connection.sendall(post(1000))
        began = time.monotonic()
        with pytest.raises(OSError):  # a reset or a broken pipe, by the system
            while time.monotonic() - began < 5:
                connection.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("sent", [b"", b"POST /v2", b"GET / HTTP/1.1\r\nHost: x\r\nA: "])
def test_a_head_that_does_not_come_is_given_up(sent: bytes) -> None:
    with live(limits=Limits(header_seconds=0.2)) as server, connect(server) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        assert all_of(connection) == b""
        assert time.monotonic() - began < 2


def test_the_second_head_on_a_connection_is_given_up_too() -> None:
    with live(limits=Limits(header_seconds=0.2)) as server, connect(server) as connection:
        connection.sendall(post(len(BODY)) + BODY)
        assert status(one_of(connection)) == 200
        time.sleep(0.3)  # an idle connection may stay
        connection.sendall(post(len(BODY)) + BODY)
        assert status(one_of(connection)) == 200
        connection.sendall(b"GET /v2 HT")
        assert all_of(connection) == b""


def test_a_slow_answer_is_not_cut_off_by_that() -> None:
    limits = Limits(header_seconds=0.1)
    with live(StubEngine(seconds=0.4), limits) as server:
        assert ask(server.port, INFER, BODY).status == 200


def test_headers_are_bounded() -> None:
    with live(limits=Limits(max_header_kb=4)) as server, connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 10_000)
        assert status(all_of(connection)) == 400


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS where none is spoken
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_not_http_is_refused(head: bytes) -> None:
    with live(limits=Limits(header_seconds=0.2)) as server:
        with connect(server) as connection:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            answer = all_of(connection)
            assert not answer or status(answer) in (400, 405)
        assert ask(server.port, "/v2/health/live").status == 200


def test_a_client_that_leaves_is_not_worked_for() -> None:
    engine = StubEngine(seconds=0.3)
    with live(engine) as server:
        first = threading.Thread(target=lambda: ask(server.port, INFER, BODY))
        first.start()
        until(lambda: server.service.batcher.running_rows == 1)
        connection = connect(server)
        connection.sendall(post(len(BODY)) + BODY)
        until(lambda: server.service.batcher.queued_rows == 1)
        connection.close()
        until(lambda: server.service.batcher.queued_rows == 0, 0.2)
        first.join()
        assert engine.calls == [1]
        metrics = ask(server.port, "/metrics").body.decode()
        assert (
            'nv_inference_request_failure{model="model",reason="CANCELED",version="1"} 1' in metrics
        )


def test_a_timeout_is_504() -> None:
    with live(StubEngine(seconds=0.3), Limits(timeout=0.05)) as server:
        answer = ask(server.port, INFER, BODY)
        assert (answer.status, answer.error) == (504, "no answer within 0.05 s")


def test_at_four_times_what_it_can_every_request_is_answered_at_once() -> None:
    engine, gate, refused = StubEngine(), threading.Event(), threading.Semaphore(0)
    with live(engine, Limits(max_batch=4, max_queue=8)) as server:
        engine.gate = gate

        async def one() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(post(len(BODY), Connection="close") + BODY)
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            if status(answer) == 503:
                assert b"etry-" in answer.lower() and b"Exceeds maximum queue size" in answer
                refused.release()
            return status(answer)

        async def main() -> list[int]:
            return await asyncio.gather(*(one() for _ in range(48)))

        def open_the_gate() -> None:
            # Refusals wait for no call of the model: they all come while one is stuck. How fast they
            # are is measured by benchmarks/serving.py.
            for _ in range(48 - 4 - 8):
                assert refused.acquire(timeout=30)
            gate.set()

        opener = threading.Thread(target=open_the_gate)
        opener.start()
        found = asyncio.run(main())
        opener.join()
        assert found.count(503) >= 36 and found.count(503) + found.count(200) == 48
