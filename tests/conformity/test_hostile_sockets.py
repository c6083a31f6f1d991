"""Clients that do not speak HTTP, speak it badly, speak slowly, or leave: nothing of them stays."""

import asyncio
import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformity.victim import BODY_SECONDS, Victim
from tests.serving.client import INFER, ask, text
from tests.serving.triton_requests import GENERATE

BODY = json.dumps({"inputs": [text(["a"])]}).encode()
SOUND = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (INFER.encode(), len(BODY))
CLOSE = SOUND.replace(b"Host: x", b"Host: x\r\nConnection: close") + BODY
SECONDS = 10.0


@contextlib.contextmanager
def connect(server: Victim) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as found:
        yield found


def send_all(server: Victim, content: bytes, *, end: bool = True) -> bytes:
    """All that comes back; a connection that is reset brings what came until then."""
    found = b""
    with connect(server) as connection:
        try:
            connection.sendall(content)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                found += part
        except TimeoutError:
            raise
        except OSError:
            pass  # the server closed before it had read everything
    return found


def statuses(answers: bytes) -> list[int]:
    """Of the answers on one connection."""
    return [int(one[:3]) for one in answers.split(b"HTTP/1.1 ")[1:]]


def assert_refused(answers: bytes) -> None:
    """Closed without a word, or refused: never a fault, never served."""
    assert all(400 <= status < 500 or status == 501 for status in statuses(answers)), answers[:500]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_sound_request_with_some_bytes_changed(server: Victim, data: st.DataObject) -> None:
    changed = bytearray(CLOSE)
    head = CLOSE.index(b"\r\n\r\n")
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, head + 3))] = data.draw(st.integers(0, 255))
    answers = send_all(server, bytes(changed))
    assert all(status < 500 or status == 501 for status in statuses(answers)), answers[:500]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300))
def test_what_is_no_http_at_all(server: Victim, content: bytes) -> None:
    assert_refused(send_all(server, content))


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = (b"POST %s HTTP/1.1" % INFER.encode(), b"Host: x", b"Connection: close", *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
BOMBS = {
    "many headers": post(*(b"A%d: x" % n for n in range(20_000))),
    "the same header": post(*[b"X-A: b"] * 20_000),
    "a long header": post(b"A: " + b"x" * (4 << 20)),
    "a long name": post(b"A" * (4 << 20) + b": x"),
    "a long address": b"GET /" + b"x" * (4 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long method": b"G" * (4 << 20) + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a folded header": post(b"A: x", *[b" x"] * 20_000),
    "a header without an end": b"GET / HTTP/1.1\r\n" + b"A: x\r\n" * 200_000,
    "a header with a zero": post(b"A: \0"),
    "a length of words": post(b"Content-Length: ten"),
    "a length below zero": post(b"Content-Length: -1"),
    "a length with a plus": post(b"Content-Length: +83", body=BODY),
    "two lengths": post(b"Content-Length: 5", b"Content-Length: 83", body=BODY),
    "a length of many digits": post(b"Content-Length: " + b"9" * 5000),
    "a length beyond 64 bits": post(b"Content-Length: %d" % 2**65, body=BODY),
    "chunks of another kind": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "a chunk without digits": post(CHUNKED, body=b"zz\r\nab\r\n0\r\n\r\n"),
    "a chunk below zero": post(CHUNKED, body=b"-5\r\nabcde\r\n0\r\n\r\n"),
    "a chunk of many digits": post(CHUNKED, body=b"f" * 5000 + b"\r\nab"),
    "a chunk longer than said": post(CHUNKED, body=b"1\r\nabcdef\r\n0\r\n\r\n"),
    "an extension without an end": post(CHUNKED, body=b"1;" + b"x" * (4 << 20)),
    "trailers without an end": post(CHUNKED, body=b"0\r\n" + b"A: x\r\n" * 200_000),
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP 0.9": b"GET /\r\n",
    "a proxy's request": b"CONNECT other:80 HTTP/1.1\r\nHost: other\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "line ends": b"\r\n" * 100_000,
    "zeros": bytes(1 << 20),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(server: Victim, name: str) -> None:
    began = time.monotonic()
    assert_refused(send_all(server, BOMBS[name]))
    assert time.monotonic() - began < SECONDS
    server.assert_well()


def test_a_request_in_the_body_of_another_is_not_served(server: Victim) -> None:
    # With both headers a proxy and a server may disagree on where a request ends.
    hidden = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    content = b"0\r\n\r\n" + hidden
    both = post(b"Content-Length: %d" % len(content), CHUNKED, body=content)
    assert len(statuses(send_all(server, both))) <= 1
    alone = SOUND.replace(b"%d" % len(BODY), b"%d" % len(hidden)) + hidden
    assert statuses(send_all(server, alone)) == [400]


def test_a_thousand_requests_before_the_first_answer(server: Victim) -> None:
    answers = send_all(server, (SOUND + BODY) * 999 + CLOSE, end=False)
    assert statuses(answers) == [200] * 1000


def leave(server: Victim, content: bytes, *, reset: bool, wait: float) -> None:
    """Send, perhaps wait a moment, and go without reading."""
    with connect(server) as connection, contextlib.suppress(ConnectionError):
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(content)
        time.sleep(wait)


def test_clients_that_leave_at_any_moment(server: Victim) -> None:
    server.assert_well()
    files, threads = server.files, server.threads
    said = json.dumps({"text": "words " * 200}).encode()
    stream = b"POST %s_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (
        GENERATE.encode(),
        len(said),
    )
    draw = random.Random(0)
    for number in range(300):
        whole = SOUND + BODY if number % 3 else stream + said
        end = draw.choice((0, draw.randrange(len(whole)), len(whole)))
        wait = draw.choice((0, 0, 0.002))
        leave(server, whole[:end], reset=bool(number % 2), wait=wait)
    server.assert_idle(files)
    assert server.threads <= threads + 4
    server.assert_well()


def test_a_client_that_never_reads_costs_one_stream_at_most(server: Victim) -> None:
    files, before = server.files, server.megabytes
    said = json.dumps({"text": "w" * 20_000}).encode()
    head = b"POST %s_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with contextlib.ExitStack() as open_ones:
        for _ in range(8):  # twice as many as may stream
            connection = socket.socket()
            open_ones.enter_context(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(head % (GENERATE.encode(), len(said)) + said)
        time.sleep(0.5)
        server.assert_well()
        assert server.metric("seqvae_streams") <= 4
    server.assert_idle(files, 20)
    assert server.megabytes < before + 60


def test_slow_clients_do_not_slow_others(server: Victim) -> None:
    files = server.files
    ends: list[float] = []

    def dribble(content: bytes) -> None:
        began = time.monotonic()
        with connect(server) as connection, contextlib.suppress(OSError):
            for byte in content:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        ends.append(time.monotonic() - began)

    head = SOUND.replace(b"%d" % len(BODY), b"1000")
    slow = [
        threading.Thread(target=dribble, args=(content,))
        for content in [SOUND + BODY, head + bytes(1000)] * 20
    ]
    for one in slow:
        one.start()
    worst = 0.0
    while any(one.is_alive() for one in slow):
        began = time.monotonic()
        assert ask(server.port, INFER, BODY).status == 200
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.01)
    assert worst < 2
    assert len(ends) == 40 and max(ends) < BODY_SECONDS * 5
    server.assert_idle(files)


def test_health_is_told_while_the_largest_requests_are_read(server: Victim) -> None:
    large = json.dumps({"parameters": {str(n): 1 for n in range(200_000)}}).encode()
    done = threading.Event()

    def send() -> None:
        for _ in range(4):
            assert ask(server.port, INFER, large).status == 400
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    worst = 0.0
    while not done.wait(0.01):
        began = time.monotonic()
        assert ask(server.port, "/v2/health/live").status == 200
        worst = max(worst, time.monotonic() - began)
    sender.join()
    assert worst < 3  # 0.3 s on a quiet machine


def test_more_connections_than_there_may_be(server: Victim) -> None:
    server.assert_well()
    files = server.files

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(CLOSE)
            return await asyncio.wait_for(reader.read(), SECONDS)
        finally:
            writer.close()

    async def crowd() -> list[bytes]:
        return await asyncio.gather(*(one() for _ in range(400)))

    found = [statuses(answer) for answer in asyncio.run(crowd())]
    assert all(one in ([200], [503]) for one in found)
    server.assert_idle(files)
    server.assert_well()
